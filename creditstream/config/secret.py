"""A secret: it never shows, and one that comes from a file is read again when the file has changed."""

import os
from pathlib import Path


class Secret:
    """`repr` and `str` are masked, `reveal()` is the one way to it: ask at each use, and a rotation is seen."""

    def __init__(self, value: str = "", *, file: str = "") -> None:
        """From `file` (without its line end) instead of `value`. Raises OSError or ValueError: unreadable, or empty."""
        self._value, self._file = value, file
        self._stamp: tuple[int, ...] = ()
        if file and not self._read():
            raise ValueError("the file is empty")

    def reveal(self) -> str:
        """The current value. While its file is away, or empty, in the middle of a rotation: the last one."""
        if self._file:
            try:
                self._read()
            except (OSError, ValueError):
                return self._value
        return self._value

    def _read(self) -> bool:
        """Looks at the file's stamp first: this may be asked for every call. Kubernetes swaps a link: another inode."""
        status = os.stat(self._file)
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            value = Path(self._file).read_text(encoding="utf-8").rstrip("\r\n")
            if value:
                self._value, self._stamp = value, stamp
        return bool(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    __str__ = __repr__
