"""What is on its way: the records that were delivered, and the orders in flight that they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from creditstream.version import VERSION
from schemas.dead_letter import DeadLetter
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import Row

_ORIGIN = ("x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp")
_ORIGINAL_KEY = "x-original-key"
_ATTEMPTS = "x-attempts"
_FIRST_FAILED = "x-first-failed-at"
_DUE = "x-next-attempt-at"


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
    replayed: bool
    """It may have been handled before by an earlier owner of the partition: PostgreSQL is asked before the risk API."""
    acknowledge: Callable[[], object]

    @property
    def origin(self) -> Origin:
        found = self._texts()
        if _ORIGIN[0] not in found:
            return Origin(self.topic, self.partition, self.offset, self.timestamp_ms)
        topic, partition, offset, timestamp = (found[name] for name in _ORIGIN)
        return Origin(topic, int(partition), int(offset), int(timestamp))

    @property
    def turn(self) -> "Turn":
        """Which turn on `orders-retry` this is, by the record's headers."""
        found = self._texts()
        if _ATTEMPTS not in found:
            return Turn()
        return Turn(int(found[_ATTEMPTS]), _from_ms(found[_FIRST_FAILED]), _from_ms(found[_DUE]))

    def _texts(self) -> Mapping[str, str]:
        return {name: value.decode(errors="replace") for name, value in self.headers}

    def traced(self) -> tuple[tuple[str, bytes], ...]:
        """The record's headers with its origin in them, for a forward."""
        ours = {name: str(value).encode() for name, value in zip(_ORIGIN, self.origin, strict=True)}
        key = self.original_key
        if key is not None:
            ours[_ORIGINAL_KEY] = key
        return tuple((name, value) for name, value in self.headers if name not in ours) + tuple(ours.items())

    @property
    def original_key(self) -> bytes | None:
        """The key that the producer gave: a forward has the order id as its own."""
        headers = dict(self.headers)
        return headers.get(_ORIGINAL_KEY) if _ORIGIN[0] in headers else self.key

    def waiting(self, turn: "Turn") -> tuple[tuple[str, bytes], ...]:
        """The headers for `orders-retry`: the origin, and which turn comes when."""
        ours = {_ATTEMPTS: str(turn.attempts), _FIRST_FAILED: _to_ms(turn.first_failed), _DUE: _to_ms(turn.due)}
        kept = tuple((name, value) for name, value in self.traced() if name not in ours)
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
            headers=tuple((name, value) for name, value in self.headers if name not in (*_ORIGIN, _ORIGINAL_KEY, _DUE)),
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


def _from_ms(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text else None


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
    turn: Turn
    records: list[Record] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)
    """Records with the same id and other content, judged once this order has committed."""
    decision: Decision | None = None
    """The state wanted now; what counts is `row`."""
    outcome: str = ""
    """Why the order is over: "decided", "refused" or "parked"; empty while the risk API is still asked."""
    row: Row | None = None
    published: int = 0
    """The highest version that is on `order-status`."""
    over: bool = False
    """Done, or given up because its partition went to another worker."""
