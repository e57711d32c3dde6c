"""A record that was delivered: where it first stood, what its headers say, and the headers that it travels on with."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from creditstream.order.record_time import LAST_MS
from creditstream.order.reopening import Reopens
from creditstream.version import VERSION
from schemas import headers
from schemas.dead_letter import DeadLetter
from schemas.headers import Headers

_TRACE = "traceparent"
_TRACE_FORM = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


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
    headers: Headers
    believed: frozenset[str]
    """Those of our headers that mean something on its topic; none on `orders`, where anybody may write them."""
    replayed: bool
    """It may have been handled before by an earlier owner of the partition: PostgreSQL is asked before the risk API."""
    acknowledge: Callable[[], object]

    @property
    def origin(self) -> Origin:
        here = Origin(self.topic, self.partition, self.offset, self.timestamp_ms)
        if not self.believed:
            return here
        topic, *places = (self._ours(name) for name in headers.ORIGIN)
        partition, offset, timestamp_ms = map(headers.number, places)
        if topic is None or partition is None or offset is None or timestamp_ms is None:
            return here
        return Origin(topic.decode(errors="replace"), partition, offset, timestamp_ms)

    @property
    def place(self) -> dict[str, object]:
        """Where it stands, as fields of a log line."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}

    @property
    def first_ms(self) -> int:
        """When the record was first written: `origin`, for a tenth of its cost, because every order is asked."""
        if self.believed:
            first = headers.number(self._ours(headers.ORIGINAL_TIMESTAMP))
            return self.timestamp_ms if first is None else first
        return self.timestamp_ms

    @property
    def traceparent(self) -> Headers:
        """The W3C trace context that the producer gave, as a header to hand on; empty if there is none."""
        for header in self.headers:
            if header[0] == _TRACE and header[1] is not None and _TRACE_FORM.fullmatch(header[1]):
                return (header,)
        return ()

    @property
    def bytes_beside_the_value(self) -> int:
        """Of its key and its headers, which travel with it."""
        beside = len(self.key) if self.key else 0
        for name, value in self.headers:
            beside += len(name) + len(value or b"")
        return beside

    @property
    def waited(self) -> bool:
        """It comes from `orders-retry`."""
        return headers.ATTEMPTS in self.believed

    @property
    def turn(self) -> "Turn":
        """Which turn on `orders-retry` this is, by the record's headers."""
        attempts = headers.number(self._ours(headers.ATTEMPTS)) if self.waited else None
        if attempts is None or attempts < 0:
            return _FIRST_TURN
        first_failed, due = (headers.number(self._ours(name)) for name in (headers.FIRST_FAILED, headers.DUE))
        return Turn(attempts, _from_ms(first_failed), _from_ms(due))

    @property
    def may_be_settled(self) -> bool:
        """It, or the record that it was forwarded for, may have been handled before."""
        return self.replayed or self._ours(headers.REPLAYED) is not None

    @property
    def reopens(self) -> Reopens | None:
        """Which row somebody wants asked about again; for records of `orders-retry` only."""
        return Reopens.read(self._ours(headers.REOPENS))

    def _ours(self, name: str) -> bytes | None:
        """The value of a header of ours; None where it is not believed, or has no value."""
        if name in self.believed:
            for header, value in self.headers:
                if header == name:
                    return value
        return None

    def traced(self) -> Headers:
        """The producer's headers, and ours with its origin, for a forward."""
        ours = [(name, str(value).encode()) for name, value in zip(headers.ORIGIN, self.origin, strict=True)]
        key = self.original_key
        if key is not None:
            ours.append((headers.ORIGINAL_KEY, key))
        if self.may_be_settled:
            ours.append((headers.REPLAYED, b"1"))
        return (*self.producers_headers, *ours)

    @property
    def producers_headers(self) -> Headers:
        """What the producer sent, under names that are not ours."""
        return headers.producers_own(self.headers, self.believed) if self.headers else ()

    @property
    def original_key(self) -> bytes | None:
        """The key that the producer gave: a forward has the order id as its own."""
        was_handed_on = self._ours(headers.ORIGINAL_OFFSET) is not None
        return self._ours(headers.ORIGINAL_KEY) if was_handed_on else self.key

    def waiting(self, turn: "Turn") -> Headers:
        """The headers for `orders-retry`: the origin, and which turn comes when.

        Parked, an order's row waits for nobody, so that nothing need be reopened.
        """
        ours = {
            headers.ATTEMPTS: str(turn.attempts),
            headers.FIRST_FAILED: _to_ms(turn.first_failed),
            headers.DUE: _to_ms(turn.due),
        }
        return (*self.traced(), *((name, value.encode()) for name, value in ours.items()))

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
            headers=self.producers_headers,
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


_FIRST_TURN = Turn()


def _from_ms(ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms is not None and 0 <= ms <= LAST_MS else None


def _to_ms(moment: datetime | None) -> str:
    return str(int(moment.timestamp() * 1000)) if moment else ""
