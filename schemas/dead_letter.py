"""A dead letter: the untouched record, and headers that say why, where from and when."""

from datetime import datetime

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not become a row (or a row that could not be scored), with its origin as identity."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    reason: str
    message: str
    attempts: int = 1
    first_failed_at: datetime
    last_failed_at: datetime
    version: str
    row_version: int | None = None
    """Of the row, when the order has one that waits for a person: sent again, the letter may change no later one."""

    def to_headers(self) -> list[tuple[str, bytes]]:
        """The letter's headers: the record's own first, untouched, then `x-…`."""
        ours = {
            "x-original-topic": self.topic,
            "x-original-partition": str(self.partition),
            "x-original-offset": str(self.offset),
            "x-original-timestamp": str(self.timestamp_ms),
            "x-error-class": self.reason,
            "x-error-message": self.message,
            "x-attempts": str(self.attempts),
            "x-first-failed-at": self.first_failed_at.isoformat(),
            "x-last-failed-at": self.last_failed_at.isoformat(),
            "x-application-version": self.version,
        }
        if self.row_version is not None:
            ours["x-row-version"] = str(self.row_version)
        kept = [(name, value) for name, value in self.headers if name not in ours]
        return kept + [(name, value.encode()) for name, value in ours.items()]
