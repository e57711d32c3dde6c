"""PURE: which row that waits for a person may change when a letter is sent again: the one it is about (ADR 0018)."""

from typing import NamedTuple, Self

from schemas.headers import REOPENS
from schemas.status import Row


class Reopens(NamedTuple):
    """The row's reason and version; a letter of the release before tells no version, and means any."""

    reason: str
    version: int | None = None

    @classmethod
    def read(cls, value: bytes | None) -> Self | None:
        """From the header that `dlq replay` wrote; None when it is not there."""
        if not value:
            return None
        reason, _, version = value.decode(errors="replace").partition(" ")
        return cls(reason, small_number(version))

    @property
    def header(self) -> tuple[str, bytes]:
        return REOPENS, (self.reason if self.version is None else f"{self.reason} {self.version}").encode()

    def takes(self, row: Row) -> bool:
        """Whether the row is still as it was when the letter was written: sent again twice, it is asked about once."""
        return row.waits_for_person and row.reason == self.reason and self.version in (None, row.version)


def small_number(text: str | None) -> int | None:
    """A version as a header tells it; None when it is no such number."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
