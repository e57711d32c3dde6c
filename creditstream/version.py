"""The program's version, from the one place that states it: the distribution's metadata."""

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("creditstream")
    except PackageNotFoundError:
        return "0+checkout"


VERSION = _version()
