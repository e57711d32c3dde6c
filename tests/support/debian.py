"""Programs of Debian's packages: fetched once into the download cache and unpacked there, without root."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.servers import LOCAL

#: 19 MB and the package lists.
_DOWNLOAD_WITHIN = 300.0


def unpacked(package: str, libraries: str = "(?!)") -> Path:
    """The folder that stands for `/`. Of what the package needs, what matches `libraries` is unpacked too.

    A second caller waits for the first. Fails when there is no apt-get, or no network.
    """
    shelf = LOCAL / "cache" / package
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shelf / "package").is_dir():
            _fetch(shelf, package, libraries)
    return shelf / "package"


def _fetch(shelf: Path, package: str, libraries: str) -> None:
    """With package lists of its own: a fresh machine has none, and only root may write the machine's."""
    part = shelf / "part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial"):
        (part / folder).mkdir(parents=True)
    own = {"Dir::State::Lists": part / "lists", "Dir::Cache": part, "APT::Sandbox::User": "root", "Debug::NoLocking": 1}
    apt = ["apt-get", "-q", *(word for key, value in own.items() for word in ("-o", f"{key}={value}"))]
    _run([*apt, "update"], part)
    _run([*apt, "download", package], part)
    [main] = part.glob(f"{package}_*.deb")
    needed = re.findall(libraries, _run(["dpkg-deb", "-f", str(main), "Depends"], part))
    if needed:
        _run([*apt, "download", *needed], part)
    for each in part.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(each), str(part / "package")], part)
    (part / "package").rename(shelf / "package")
    shutil.rmtree(part)


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_WITHIN, check=False
        )
    except FileNotFoundError:
        name = folder.parent.name
        raise AssertionError(f"{command[0]} is not here: install {name}, so that it is on the PATH") from None
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
