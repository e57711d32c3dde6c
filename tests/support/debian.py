"""Programs of Debian's packages: fetched once into the download cache and unpacked there, without root."""

import re
import shutil
from pathlib import Path

from tests.support.left_out import NotHere
from tests.support.shelf import download, on_shelf


def unpacked(package: str, libraries: str = "(?!)") -> Path:
    """The folder that stands for `/`. Of what the package needs, what matches `libraries` is unpacked too.

    Raises NotHere where there is no apt-get, or no network.
    """
    return on_shelf(f"debian-{package}", lambda part: _fetch(part, package, libraries))


def _fetch(part: Path, package: str, libraries: str) -> None:
    """With package lists of its own: a fresh machine has none, and only root may write the machine's."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotHere(f"{package} is not on the PATH, and there is no {program} to get it with: install {package}")
    scratch = part.parent / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (scratch / folder).mkdir(parents=True)
    own = {"Dir::State::Lists": scratch / "lists", "Dir::Cache": scratch, "APT::Sandbox::User": "root"}
    words = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
    apt = ["apt-get", "-q", *words, "-o", "Debug::NoLocking=1"]
    download(package, [*apt, "update"], folder=scratch)
    download(package, [*apt, "download", package], folder=scratch)
    [main] = scratch.glob(f"{package}_*.deb")
    needed = re.findall(libraries, download(package, ["dpkg-deb", "-f", str(main), "Depends"], folder=scratch))
    if needed:
        download(package, [*apt, "download", *needed], folder=scratch)
    for each in scratch.glob("*.deb"):
        download(package, ["dpkg-deb", "-x", str(each), str(part)], folder=scratch)
