"""The browser for the tests: Chromium as it is on the machine, else one of npm's, unpacked without root."""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import cramjam

from tests.support.archives import unpack
from tests.support.left_out import NotHere
from tests.support.npm import NpmPackage
from tests.support.shelf import on_shelf

#: As distributions name it.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Chromium's headless shell with the libraries and the font that it needs: made for machines that have neither.
_PACKAGE = NpmPackage(
    "@sparticuz/chromium",
    "153.0.0",
    "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
)
#: Without any font, text has no size and nothing can be clicked; the package's own file looks in Lambda's folders.
_FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""
_RUN = """\
#!/bin/sh
here="${0%/*}"
FONTCONFIG_PATH="$here" LD_LIBRARY_PATH="$here/lib" exec "$here/chromium" "$@"
"""
#: Seconds, to say its version; it takes a hundredth of one.
_STARTS_WITHIN = 60.0
#: No sandbox: root has none, and the pages are our own. The rest: no call to anybody but the page's server.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium(environ: Mapping[str, str] = os.environ) -> str:
    """The path of a Chromium, for the browser tests; CHROMIUM names one. Raises NotHere."""
    named = environ.get("CHROMIUM")
    if named:
        assert os.access(named, os.X_OK), f"CHROMIUM={named} is no program: name a Chromium's, or unset it"
        return named
    return _find(environ) or _fetched()


def _find(environ: Mapping[str, str]) -> str | None:
    found = (shutil.which(name, path=environ.get("PATH")) for name in _NAMES)
    return next((path for path in found if path and not _is_snap(Path(path))), None)


def _is_snap(path: Path) -> bool:
    """A snap's wrapper is no browser that can be driven: it has a /tmp of its own. Ubuntu's packages lead to one."""
    with path.open("rb") as program:
        return "/snap/" in str(path.absolute()) or b"/snap/" in program.read(4096)


def _fetched() -> str:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotHere("no Chromium for this machine comes from npm: install it, or set CHROMIUM")
    return str(on_shelf(f"chromium-{_PACKAGE.version}", _unpack) / "run")


def _unpack(part: Path) -> None:
    part.mkdir()
    with tarfile.open(_PACKAGE.path()) as package:
        for name in ("al2023", "fonts", "swiftshader"):
            with tarfile.open(fileobj=io.BytesIO(_plain(package, f"{name}.tar"))) as archive:
                unpack(archive, part)
        (part / "chromium").write_bytes(_plain(package, "chromium"))
    (part / "fonts.conf").write_text(_FONTS)
    (part / "run").write_text(_RUN)
    for program in ("chromium", "run"):
        (part / program).chmod(0o755)
    _try(part / "run")


def _plain(package: tarfile.TarFile, name: str) -> bytes:
    packed = package.extractfile(f"package/bin/{name}.br")
    assert packed is not None, f"{name} is no file"
    return bytes(cramjam.brotli.decompress(packed.read()))


def _try(program: Path) -> None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_STARTS_WITHIN, check=False)
    if done.returncode:
        raise NotHere(f"npm's Chromium does not run here: {done.stderr.strip()}: install one, or set CHROMIUM")
