"""A copy of the tree, in which one file at a time is mutated."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOT_COPIED = (".git", ".venv", ".local", ".hypothesis", "*_cache", "__pycache__", "dist", "build")
#: Seconds since 1970: the time of a mutated file. No compiled file is of that time, so that none is taken for it.
_MUTATED = 1_000_000_000


class Tree:
    """`digest`: of all that is run, to know whether what was found out still counts."""

    def __init__(self, root: Path, copy: Path) -> None:
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        self.path = copy
        self.digest = _digest(copy)

    @contextmanager
    def mutated(self, file: str, text: str) -> Iterator[None]:
        path = self.path / file
        before, kept = path.read_bytes(), path.stat()
        path.write_text(text, encoding="utf-8")
        os.utime(path, (_MUTATED, _MUTATED))
        try:
            yield
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def _digest(root: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*root.rglob("*.py"), *root.glob("pyproject.toml")]):
        if "mutants" not in path.parts[:-1]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
