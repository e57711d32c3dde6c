"""Archives that the tests unpack: each is pinned by its hash, or our own."""

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """With Python's safe filter where there is one: the Python 3.11 of Debian 12 is older than it."""
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder)  # noqa: S202 - ruff asks for the argument, which that Python does not know
