"""PURE apart from its files: every record, letter, row and status is entered, each in the bucket of its order."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from creditstream.operations.audit.entries import (
    AT_ONCE,
    DECIDED,
    DECIDED_FORGOTTEN,
    KINDS,
    TOMBSTONE,
    UNDECIDED,
    state_of,
)
from creditstream.operations.audit.judge import Fault
from creditstream.operations.audit.places import Places
from creditstream.operations.audit.scratch import Spill
from schemas.status import FORGOTTEN_CUSTOMER, Row, StatusRecord, decode_status, encode_status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Of a record on `orders-by-id`: it is behind all that the order has on `orders-retry`.
_LAST = 2**64 - 1
_VERSIONS = 2**63 - 1
_encode = msgspec.json.Encoder().encode
_NOTHING = bytes(16)
#: How a status record begins: its order's id follows, which is so long.
_BEFORE_ID, _ID = b'{"order_id":"', 36


@dataclass
class Books:
    """What is not about one order, or is small: it is held in memory."""

    letters: Places = field(default_factory=Places)
    #: By their topic: letters whose records first stood elsewhere than on `orders`.
    other_letters: dict[str, Places] = field(default_factory=dict)
    #: Records on `orders` that are no orders.
    invalid: Places = field(default_factory=Places)
    forwarded: Places = field(default_factory=Places)
    faults: list[Fault] = field(default_factory=list)
    #: Topic, partition and offset from which on records were gone before they were read, and up to which offset.
    jumps: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def counted_letters(self) -> dict[str, int]:
        """How many dead letters there are, by reason; each origin counts once."""
        found: Counter[str] = Counter()
        for places in (self.letters, *self.other_letters.values()):
            found.update(places.counts())
        return dict(sorted(found.items()))

    def take(self, other: "Books") -> None:
        """What another process has entered: of topics that are not the letters'."""
        for place in other.invalid:
            self.invalid.add(*place)
        self.faults += other.faults


class Ledger:
    """Enter everything, each partition in its order. Several ledgers may write to one folder, each under its name."""

    def __init__(self, folder: Path, name: str = "0") -> None:
        self.books = Books()
        self._spills = {kind: Spill(folder, kind, name) for kind in KINDS}
        self._orders, self._statuses, self._rows = (self._spills[kind].add for kind in ("orders", "statuses", "rows"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Everything can be read."""
        for spill in self._spills.values():
            spill.close()

    def add_order(self, partition: int, offset: int, order_id: UUID, fingerprint: bytes) -> None:
        """A record on the orders topic that is an order."""
        self._orders(order_id.bytes, fingerprint, partition, offset)

    def add_invalid(self, partition: int, offset: int, reason: str) -> None:
        """A record on the orders topic that is none."""
        self.books.invalid.add(partition, offset, reason)

    def add_letter(self, topic: str | None, partition: int, offset: int, reason: str) -> None:
        """A dead letter, by its origin; delivered twice, it counts once. `topic` None: it is the orders topic."""
        if topic is not None or not self.books.letters.add(partition, offset, reason):
            self.books.other_letters.setdefault(topic or "", Places()).add(partition, offset, reason)

    def add_jump(self, topic: str, partition: int, offset: int, until: int) -> None:
        """A dead letter that says that records from `offset` to before `until` were gone before they were read."""
        self.books.jumps[topic, partition, offset] = until

    def add_letter_about(self, order_id: UUID, fingerprint: bytes, *, waits: bool) -> None:
        """A dead letter about an order of that content; `waits`: it says that its row waits for a person."""
        self._spills["letters"].add(order_id.bytes, fingerprint, waits)

    def add_forwarded(self, order_id: UUID, partition: int, offset: int) -> None:
        """A record on `orders-by-id` that the group has not passed, and where it first stood on the orders topic."""
        self.books.forwarded.add(partition, offset)
        self._spills["pending"].add(order_id.bytes, _LAST, AT_ONCE)

    def add_waiting(self, order_id: UUID, offset: int, due_ms: int) -> None:
        """A record on `orders-retry` that the group has not passed."""
        self._spills["pending"].add(order_id.bytes, offset, max(AT_ONCE, due_ms))

    def add_row(self, row: Row) -> None:
        """A committed row."""
        self._rows(row.order_id.bytes, *row_entry(row))

    def add_removed(self, order_id: UUID) -> None:
        """An order whose row went with its month; its id is still known."""
        self._spills["removed"].add(order_id.bytes)

    def add_status(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """A record of the status topic, in the order of its partition."""
        entry = read_status(partition, offset, key, value)
        if isinstance(entry, Fault):
            self.books.faults.append(entry)
        else:
            self._statuses(*entry)


def row_entry(row: Row) -> tuple[bytes, bytes, int, int, int]:
    """The fields of `entries.ROW`, but for the id."""
    created_us = (row.created_at - _EPOCH) // _MICROSECOND
    return row.fingerprint, _digest(encode_status(row)), created_us, row.version, state_of(row.status, row.reason)


def read_status(
    partition: int, offset: int, key: bytes | None, value: bytes | None
) -> tuple[bytes, bytes, bytes, int, int, int, int] | Fault:
    """The fields of `entries.STATUS`, or what is wrong with the record."""
    if value is None and (removed := order_id_of(key)):
        return removed.bytes, _NOTHING, _NOTHING, partition, offset, 0, TOMBSTONE
    where = f"order-status[{partition}]@{offset}"
    try:
        record = decode_status(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Fault("divergent", "not a status record", where)
    content = _encode(record)
    if not (key and content.startswith(key, len(_BEFORE_ID)) and len(key) == _ID):
        return Fault("divergent", "a status record under another key than its order id", where)
    version = max(-_VERSIONS, min(record.version, _VERSIONS))
    kind = _kind(record)
    decision = _digest(_impersonal(content)) if kind != UNDECIDED else _NOTHING
    return record.order_id.bytes, _digest(content), decision, partition, offset, version, kind


def _kind(record: StatusRecord) -> int:
    if record.status == "under_review":
        return UNDECIDED
    return DECIDED_FORGOTTEN if record.customer_id == FORGOTTEN_CUSTOMER else DECIDED


def _impersonal(content: bytes) -> bytes:
    """The decision alone, without whose it was: the same before and after the customer was forgotten.

    A quote inside of a text has a backslash before it, so a key's quotes are only found where there is a key.
    """
    return content[content.index(b'","amount":') : content.rindex(b'","updated_at":')]


def order_id_of(key: bytes | None) -> UUID | None:
    """From a record's key."""
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
