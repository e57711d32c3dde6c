"""A dead letter: the untouched record, and headers that say why, where from and when."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from schemas.headers import ROW_VERSION, TRUNCATED_FROM, TRUNCATED_PARTS, Headers, producers_own

#: The reason of the one letter about records that Kafka removed before they were read: there is nothing of them.
REMOVED_UNREAD = "removed_unread"
#: Of a header, beside its name and its value.
_HEADER_OVERHEAD = 10
#: Bytes for the producer's headers, and for its key, of a letter that has to be cut: as shares of the whole.
_SHARE = 4
_MOST_MESSAGE = 500


class LetterRecord(NamedTuple):
    """As it goes to the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not become a row (or a row that could not be scored), with its origin as identity."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    reason: str
    message: str
    attempts: int = 1
    first_failed_at: datetime
    last_failed_at: datetime
    version: str
    truncated_from: int | None = None
    """Bytes of the value as the producer wrote it, when it is here in part."""
    row_version: int | None = None
    """Of the row, when the order has one that waits for a person: sent again, the letter may change no later one."""

    def to_headers(self) -> list[tuple[str, bytes | None]]:
        """The letter's headers: the record's own first, then ours (`schemas/headers.py`)."""
        ours = {
            "x-original-topic": self.topic,
            "x-original-partition": str(self.partition),
            "x-original-offset": str(self.offset),
            "x-original-timestamp": str(self.timestamp_ms),
            "x-error-class": self.reason,
            "x-error-message": self.message[:_MOST_MESSAGE],
            "x-attempts": str(self.attempts),
            "x-first-failed-at": self.first_failed_at.isoformat(),
            "x-last-failed-at": self.last_failed_at.isoformat(),
            "x-application-version": self.version,
        }
        if self.truncated_from is not None:
            ours[TRUNCATED_FROM] = str(self.truncated_from)
        if self.row_version is not None:
            ours[ROW_VERSION] = str(self.row_version)
        own = producers_own(self.headers, frozenset())
        return [*own, *((name, value.encode(errors="replace")) for name, value in ours.items())]

    def to_record(self, most: int) -> LetterRecord:
        """The letter in at most `most` bytes: untouched if it fits, else cut, and with headers that say so."""
        headers = self.to_headers()
        if len(self.key or b"") + len(self.value or b"") + sum(map(_size, headers)) <= most:
            return LetterRecord(self.key, self.value, tuple(headers))
        return self._cut(most)

    def _cut(self, most: int) -> LetterRecord:
        """The value gives way first, then what is large beside it: the producer's headers and the key."""
        share = most // _SHARE
        kept, left_out = _within(self.headers, share)
        key = self.key
        if len(key or b"") > share:
            key, left_out = None, left_out + 1
        size = len(self.value or b"") if self.truncated_from is None else self.truncated_from
        cut = msgspec.structs.replace(self, headers=kept, truncated_from=size)
        headers = [*cut.to_headers(), (TRUNCATED_PARTS, str(left_out).encode())]
        room = most - len(key or b"") - sum(map(_size, headers))
        return LetterRecord(key, self.value and self.value[: max(0, room)], tuple(headers))


def _within(headers: Headers, most: int) -> tuple[Headers, int]:
    """The first of them, up to so many bytes, and how many others there are."""
    total, kept = 0, []
    for header in headers:
        total += _size(header)
        if total > most:
            break
        kept.append(header)
    return tuple(kept), len(headers) - len(kept)


def _size(header: tuple[str, bytes | None]) -> int:
    name, value = header
    return len(name.encode(errors="replace")) + len(value or b"") + _HEADER_OVERHEAD
