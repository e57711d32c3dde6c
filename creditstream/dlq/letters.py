"""PURE: dead letters as they stand on their topic, and which of them are meant."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from creditstream.reopening import small_number

#: Written by us around the producer's own headers (schemas/dead_letter.py, creditstream/flight.py).
OURS = (
    "x-original-topic",
    "x-original-partition",
    "x-original-offset",
    "x-original-timestamp",
    "x-original-key",
    "x-error-class",
    "x-error-message",
    "x-attempts",
    "x-first-failed-at",
    "x-last-failed-at",
    "x-next-attempt-at",
    "x-application-version",
    "x-row-version",
)
#: On a letter whose record was removed with its customer's data: the request's random id.
FORGOTTEN_BY = "x-forgotten-by"
#: On a record that was sent again: where its first ancestor stood.
REPLAY_OF = "x-replay-of"
#: Fields that may stay readable: they say what kind of order it is, not whose.
_HARMLESS = frozenset({"order_id", "product", "term_months", "created_at"})


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
    headers: tuple[tuple[str, bytes], ...]
    """The record's own, without ours."""

    @property
    def root(self) -> str:
        """Where the record stood before it was sent again, however often; otherwise its origin."""
        told = dict(self.headers).get(REPLAY_OF)
        return (
            told.decode(errors="replace") if told else f"{self.topic}:{self.original_partition}:{self.original_offset}"
        )

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


def read_letter(record: Any) -> Letter:
    """From a consumer's record. A letter whose headers are damaged is its own origin."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    topic, partition, offset = record.topic, record.partition, record.offset
    if headers.get("x-original-partition", "").isdecimal() and headers.get("x-original-offset", "").isdecimal():
        topic = headers.get("x-original-topic", topic)
        partition, offset = int(headers["x-original-partition"]), int(headers["x-original-offset"])
    timestamp = headers.get("x-original-timestamp", "")
    return Letter(
        partition=record.partition,
        offset=record.offset,
        topic=topic,
        original_partition=partition,
        original_offset=offset,
        original_timestamp_ms=int(timestamp) if timestamp.isdecimal() else record.timestamp,
        reason=headers.get("x-error-class", "unknown"),
        message=headers.get("x-error-message", ""),
        attempts=headers.get("x-attempts", ""),
        failed_at=_moment(headers, record.timestamp),
        version=headers.get("x-application-version", ""),
        row_version=small_number(headers.get("x-row-version")),
        key=record.key,
        value=record.value,
        headers=tuple((name, bytes(value)) for name, value in record.headers if name not in OURS),
    )


def _moment(headers: Mapping[str, str], timestamp_ms: int) -> datetime:
    try:
        moment = datetime.fromisoformat(headers["x-last-failed-at"])
    except (KeyError, ValueError):
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Filter(NamedTuple):
    """Which letters are meant: all that is given must hold. Offsets and partition are the origin's."""

    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    order_id: UUID | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None
    topic: str = ""

    def takes(self, letter: Letter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (self.partition is None or letter.original_partition == self.partition)
            and (self.from_offset is None or letter.original_offset >= self.from_offset)
            and (self.to_offset is None or letter.original_offset <= self.to_offset)
            and (not self.topic or letter.topic == self.topic)
            and (self.order_id is None or _mentions(letter, self.order_id))
        )

    @property
    def takes_all(self) -> bool:
        return self == Filter()


def _mentions(letter: Letter, order_id: UUID) -> bool:
    """A record that is no JSON may still have the id in it."""
    found = letter.order_id
    return found == order_id if found else str(order_id).encode() in (letter.value or b"").lower()


def masked(value: bytes | None) -> str:
    """The record as one may show it: personal data is replaced, what is no JSON object is told by its size alone."""
    try:
        fields = json.loads(value or b"")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return f"({len(value or b'')} bytes, not shown: no JSON object)"
    shown = {name: content if name in _HARMLESS and _is_short(content) else "***" for name, content in fields.items()}
    return json.dumps(shown, ensure_ascii=False)


def _is_short(content: object) -> bool:
    """A producer may have put anything into a field of a harmless name."""
    return isinstance(content, (int, float)) or (isinstance(content, str) and len(content) <= 40)
