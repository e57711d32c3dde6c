"""What is on its way: the records that were delivered, and the orders in flight that they belong to."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from creditstream.reopening import HEADER as _REOPENS
from creditstream.reopening import Reopens
from creditstream.version import VERSION
from schemas.dead_letter import DeadLetter
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import Row

_WRITTEN = "x-original-timestamp"
_ORIGIN = ("x-original-topic", "x-original-partition", "x-original-offset", _WRITTEN)
_TRACE = "traceparent"
_TRACE_FORM = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ORIGINAL_KEY = "x-original-key"
_ATTEMPTS = "x-attempts"
_FIRST_FAILED = "x-first-failed-at"
_DUE = "x-next-attempt-at"
#: On a forward of a record that was handled before, maybe: after growth its home knows nothing of that.
_REPLAYED = "x-replayed"


class Origin(NamedTuple):
    """Where a record first stood: its identity through forwards, retries and letters."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(slots=True, eq=False)
class Record:
    """One record delivered by a source topic. `acknowledge` says that it is done; until then it comes again."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    internal: bool
    """From one of this program's own topics: only there the headers say where the record first stood."""
    replayed: bool
    """It may have been handled before by an earlier owner of the partition: PostgreSQL is asked before the risk API."""
    acknowledge: Callable[[], object]

    @property
    def origin(self) -> Origin:
        here = Origin(self.topic, self.partition, self.offset, self.timestamp_ms)
        topic, *numbers = (self._text(name) for name in _ORIGIN)
        if topic is None or not all(number is not None and number.isdecimal() for number in numbers):
            return here
        return Origin(topic, *(int(number) for number in numbers if number))

    @property
    def place(self) -> dict[str, object]:
        """Where it stands, as fields of a log line."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}

    @property
    def first_ms(self) -> int:
        """When the record was first written: `origin`, for a tenth of its cost, because every order is asked."""
        if self.internal:
            for name, value in self.headers:
                if name == _WRITTEN:
                    return int(value) if value.isdigit() else self.timestamp_ms
        return self.timestamp_ms

    @property
    def traceparent(self) -> tuple[tuple[str, bytes], ...]:
        """The W3C trace context that the producer gave, as a header to hand on; empty if there is none."""
        for header in self.headers:
            if header[0] == _TRACE and _TRACE_FORM.fullmatch(header[1]):
                return (header,)
        return ()

    @property
    def turn(self) -> "Turn":
        """Which turn on `orders-retry` this is, by the record's headers."""
        attempts = self._text(_ATTEMPTS) or ""
        if not attempts.isdecimal():
            return Turn()
        return Turn(int(attempts), _from_ms(self._text(_FIRST_FAILED)), _from_ms(self._text(_DUE)))

    @property
    def may_be_settled(self) -> bool:
        """It, or the record that it was forwarded for, may have been handled before."""
        return self.replayed or self._text(_REPLAYED) is not None

    @property
    def reopens(self) -> Reopens | None:
        """Which row somebody wants asked about again; for records of `orders-retry` only."""
        return Reopens.read(self._text(_REOPENS))

    def _text(self, name: str) -> str | None:
        """An internal record's header; anybody may write the same names on `orders`, and there they mean nothing."""
        if not self.internal:
            return None
        return next((value.decode(errors="replace") for header, value in self.headers if header == name), None)

    def traced(self) -> tuple[tuple[str, bytes], ...]:
        """The record's headers with its origin in them, for a forward."""
        ours = dict(zip(_ORIGIN, (str(value).encode() for value in self.origin), strict=True))
        key = self.original_key
        if key is not None:
            ours[_ORIGINAL_KEY] = key
        if self.may_be_settled:
            ours[_REPLAYED] = b"1"
        return tuple((name, value) for name, value in self.headers if name not in ours) + tuple(ours.items())

    @property
    def original_key(self) -> bytes | None:
        """The key that the producer gave: a forward has the order id as its own."""
        return dict(self.headers).get(_ORIGINAL_KEY) if self.internal else self.key

    def waiting(self, turn: "Turn") -> tuple[tuple[str, bytes], ...]:
        """The headers for `orders-retry`: the origin, and which turn comes when.

        Parked, an order's row waits for nobody, so that nothing need be reopened; and the header may be a producer's.
        """
        ours = {_ATTEMPTS: str(turn.attempts), _FIRST_FAILED: _to_ms(turn.first_failed), _DUE: _to_ms(turn.due)}
        kept = tuple((name, value) for name, value in self.traced() if name not in ours and name != _REOPENS)
        return kept + tuple((name, value.encode()) for name, value in ours.items())

    def letter(self, reason: str, message: str, now: datetime, turn: "Turn | None" = None) -> DeadLetter:
        """This record as a dead letter: untouched, with its origin and why."""
        topic, partition, offset, timestamp_ms = self.origin
        return DeadLetter(
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp_ms=timestamp_ms,
            key=self.original_key,
            value=self.value,
            headers=tuple(
                (name, value)
                for name, value in self.headers
                if name not in (*_ORIGIN, _ORIGINAL_KEY, _REPLAYED, _DUE, _REOPENS)
            ),
            reason=reason,
            message=message,
            attempts=max(1, turn.attempts) if turn else 1,
            first_failed_at=(turn and turn.first_failed) or now,
            last_failed_at=now,
            version=VERSION,
        )


class Turn(NamedTuple):
    """How often an order has failed to be scored, since when, and when it is tried again."""

    attempts: int = 0
    first_failed: datetime | None = None
    due: datetime | None = None


def _from_ms(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text and text.isdecimal() else None


def _to_ms(moment: datetime | None) -> str:
    return str(int(moment.timestamp() * 1000)) if moment else ""


@dataclass(slots=True, eq=False)
class Flight:
    """An order between its first delivery and its outcome. Every delivery of the same content joins it."""

    order: Order
    fingerprint: bytes
    partition: int
    """Home partition: of the order's status record and its `seen` mark."""
    started: float
    first_ms: int
    """When its first record was written."""
    turn: Turn
    records: list[Record] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)
    """Records with the same id and other content, judged once this order has committed."""
    decision: Decision | None = None
    """The state wanted now; what counts is `row`."""
    outcome: str = ""
    """Why the order is over: "decided", "for_a_person" or "parked"; empty while the risk API is still asked."""
    row: Row | None = None
    reopens: Reopens | None = None
    """Somebody sent its letter again: the row that waits for a person, and may be changed."""
    replaces: int | None = None
    """That row's version, once it was looked up and found to be the one."""
    over: bool = False
    """Done, or given up because its partition went to another worker."""

    @property
    def place(self) -> dict[str, object]:
        """The order and its first record, as fields of a log line."""
        return {"order_id": str(self.order.order_id), **self.records[0].place}
