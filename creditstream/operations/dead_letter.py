"""PURE: a dead letter as it stands on its topic: what `dlq`, `audit` and `forget` read."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from creditstream.order.record_time import LAST_MS, believed_ms, moment
from creditstream.order.reopening import small_number
from schemas.headers import (
    FORGOTTEN_BY,
    LETTER,
    ORIGINAL_OFFSET,
    ORIGINAL_PARTITION,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_TOPIC,
    ROW_VERSION,
    TRUNCATED_FROM,
    Headers,
    number,
)

#: On a record that was sent again: where its first ancestor stood.
REPLAY_OF = "x-replay-of"


class Fetched(Protocol):
    """A record as a consumer gives it. `timestamp` in ms."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One letter: where it stands, where its record first stood, why it is there, and the untouched record."""

    partition: int
    offset: int
    topic: str
    original_partition: int
    original_offset: int
    original_timestamp_ms: int
    reason: str
    message: str
    attempts: str
    failed_at: datetime
    version: str
    row_version: int | None = None
    """Of the row that waits for a person; None in letters that tell none."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The record's own, without ours."""
    truncated_from: int | None = None
    """Bytes of the value as the producer wrote it, when the letter is cut: there is nothing whole to send again."""

    @property
    def root(self) -> str:
        """Where the record stood before it was sent again, however often; otherwise its origin."""
        told = dict(self.headers).get(REPLAY_OF)
        return (
            told.decode(errors="replace") if told else f"{self.topic}:{self.original_partition}:{self.original_offset}"
        )

    @property
    def is_whole(self) -> bool:
        """The producer's own bytes are all here."""
        return self.truncated_from is None

    @property
    def is_forgotten(self) -> bool:
        """Its record is gone: there is nothing to send again."""
        return FORGOTTEN_BY in dict(self.headers)

    @property
    def identity(self) -> bytes:
        """The same for all letters about one record, its repeats by `dlq replay` among them.

        The content is part of it: on `orders` anybody may write a header, and must not hide another's letter by it.
        """
        return hashlib.blake2b(self.root.encode() + b"\0" + (self.value or b""), digest_size=16).digest()

    @property
    def order_id(self) -> UUID | None:
        """None when the record does not say."""
        fields = self.fields
        try:
            return UUID(fields["order_id"]) if fields else None
        except (KeyError, ValueError, AttributeError, TypeError):
            return None

    @property
    def fields(self) -> dict[str, Any] | None:
        """The record's JSON object, if it is one."""
        try:
            fields = json.loads(self.value or b"")
        except (ValueError, RecursionError):
            return None
        return fields if isinstance(fields, dict) else None


def read_letter(record: Fetched) -> Letter:
    """From a consumer's record, whatever anybody wrote there. A letter whose headers are damaged is its own origin."""
    headers = tuple(record.headers or ())
    ours = {name: (value or b"").decode(errors="replace") for name, value in headers if name in LETTER}
    topic, partition, offset = origin_of(record, ours)
    timestamp = number(ours.get(ORIGINAL_TIMESTAMP))
    return Letter(
        partition=record.partition,
        offset=record.offset,
        topic=topic,
        original_partition=partition,
        original_offset=offset,
        original_timestamp_ms=record.timestamp if timestamp is None else timestamp,
        reason=ours.get("x-error-class", "unknown"),
        message=ours.get("x-error-message", ""),
        attempts=ours.get("x-attempts", ""),
        failed_at=_failed_at(ours, record.timestamp),
        version=ours.get("x-application-version", ""),
        row_version=small_number(ours.get(ROW_VERSION)),
        key=record.key,
        value=record.value,
        headers=tuple((name, value) for name, value in headers if name not in LETTER),
        truncated_from=number(ours.get(TRUNCATED_FROM)),
    )


def origin_of(record: Fetched, ours: Mapping[str, str]) -> tuple[str, int, int]:
    """Topic, partition and offset of the record that a letter is about: those of the letter if it does not say."""
    partition, offset = number(ours.get(ORIGINAL_PARTITION)), number(ours.get(ORIGINAL_OFFSET))
    if partition is None or offset is None or min(partition, offset) < 0:
        return record.topic, record.partition, record.offset
    return ours.get(ORIGINAL_TOPIC, record.topic), partition, offset


def _failed_at(ours: Mapping[str, str], timestamp_ms: int) -> datetime:
    """The letter's own time if it says none; if that is none either, the calendar's last: `--since` finds it."""
    try:
        failed_at = datetime.fromisoformat(ours["x-last-failed-at"])
        return (failed_at if failed_at.tzinfo else failed_at.replace(tzinfo=UTC)).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return moment(believed_ms(timestamp_ms, LAST_MS))
