"""Steps 1 to 3 of an order's way: a record is read, sent on to its home partition, or becomes an order in flight."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from creditstream.metrics.instruments import Instruments
from creditstream.order.brakes import Brakes
from creditstream.order.dead_letters import DeadLetters
from creditstream.order.flight import Flight
from creditstream.order.flights import Flights
from creditstream.order.home_partition import home_partition
from creditstream.order.outbox import Outbox, Parcel
from creditstream.order.overdue import Overdue
from creditstream.order.ports import Outgoing
from creditstream.order.record import Record
from creditstream.order.record_time import RecordTimes
from creditstream.order.reopening import Reopens
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.order import InvalidOrder, Order, decode_order


class Remembers(Protocol):
    """The `seen` table: order id to content fingerprint, per partition."""

    def fingerprint(self, partition: int, order_id: UUID) -> bytes | None: ...

    def is_whole(self, partition: int) -> bool: ...


class Limits(NamedTuple):
    """The settings that the order's way reads, by their names there."""

    max_in_flight: int
    under_review_after: float
    order_max_bytes: int
    clock_skew: float
    seen_retention: float = 168.0


class Reception:
    """Gives each record one way: a dead letter, a forward, a duplicate, a flight that it joins, or a new flight."""

    def __init__(
        self,
        *,
        limits: Limits,
        routes: Routes,
        seen: Remembers,
        flights: Flights,
        scoring: Scoring,
        overdue: Overdue,
        outbox: Outbox,
        dead_letters: DeadLetters,
        brakes: Brakes,
        metrics: Instruments,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._max_bytes, self._routes, self._seen, self.flights = limits.order_max_bytes, routes, seen, flights
        self._scoring, self._overdue, self._outbox = scoring, overdue, outbox
        self._dead_letters, self._brakes, self._metrics = dead_letters, brakes, metrics
        self._monotonic, self._now = monotonic, now
        skew = timedelta(seconds=limits.clock_skew)
        self._times = RecordTimes(now, skew)
        self._window = timedelta(hours=limits.seen_retention) - skew

    def accept(self, record: Record) -> None:
        """For the agents of `orders` and `orders-by-id`."""
        self.guarded(self._accept, record)

    def unforeseen(self, record: Record, error: Exception, step: str = "accepted") -> None:
        """What nobody foresaw costs this record a dead letter, and nothing else."""
        note(self._metrics, step, error, record.place)
        self.flights.leave(record)
        self._dead_letters.send(record, "unreadable", f"{type(error).__name__} when the record was {step}")

    def guarded(self, step: Callable[[Record], object], record: Record) -> None:
        """Before its order's commit an error of one record is that record's."""
        try:
            step(record)
        except OF_A_RECORD as error:
            self.unforeseen(record, error)

    def _accept(self, record: Record) -> None:
        order = self.read(record)
        if order is None:
            return
        home = home_partition(order.order_id, self._routes.partitions)
        if record.partition != home:
            self.send_on(record, order, self._routes.orders_by_id, home)
            return
        fingerprint = order.fingerprint()
        flight = self.flights.get(order.order_id)
        if flight is not None:  # not "duplicate, done": a redelivery after a rebalance is the copy whose offset counts
            self.flights.join(flight, record, same=fingerprint == flight.fingerprint)
            return
        known = self._seen.fingerprint(home, order.order_id)
        if known is None:
            self._take_off(record, order, fingerprint, home)
        else:  # a restored database may have lost its row
            self._look_up(record, order, fingerprint, home, known)

    def resume(self, record: Record) -> None:
        """An order that waited: `seen` holds it since it was parked, and is not asked; PostgreSQL is."""
        order = self.read(record)
        if order is None:
            return
        home = home_partition(order.order_id, self._routes.partitions)
        if record.partition != home:  # the topics have more partitions than when it was parked
            self.send_on(record, order, self._routes.orders_retry, home)
            return
        fingerprint, reopens = order.fingerprint(), record.reopens
        flight = self.flights.get(order.order_id)
        if flight is None:
            self._take_off(record, order, fingerprint, home, reopens)
        else:  # what somebody wants asked, or published, again is not done by a repeat of the order
            same = fingerprint == flight.fingerprint and reopens in (None, flight.reopens) and not flight.remembered
            self.flights.join(flight, record, same=same)

    def judge_again(self) -> None:
        """Records that joined an order which is over by now."""
        again = self.flights.again
        while again:
            record = again.popleft()
            self.guarded(self.resume if record.waited else self._accept, record)
        self.flights.has_again.clear()

    async def judge_again_loop(self) -> None:
        while True:
            await self.flights.has_again.wait()
            self.judge_again()

    def read(self, record: Record) -> Order | None:
        """None: it is no order, and has its dead letter."""
        try:
            return self._decode(record)
        except InvalidOrder as error:
            self._dead_letters.send(record, error.reason, str(error))
            return None

    def _decode(self, record: Record) -> Order:
        most, ours = self._max_bytes, bool(record.believed)
        if not ours and (beside := record.bytes_beside_the_value) > most:  # what we write beside it makes it no larger
            raise InvalidOrder("too_large", f"{beside} bytes of key and headers, the limit is {most}")
        return decode_order(record.value, latest=self._times.latest(record.timestamp_ms, ours=ours), max_bytes=most)

    def send_on(self, record: Record, order: Order, topic: str, home: int) -> None:
        """The record goes to its home partition; a dead letter when Kafka will not take it there."""
        carried = record.waiting(record.turn) if record.waited else record.traced()
        if record.waited and (reopens := record.reopens):  # it was not parked: somebody sent its letter again
            carried = (*carried, reopens.header)
        outgoing = Outgoing(str(order.order_id).encode(), record.value, carried)
        parcel = Parcel(topic, home, outgoing, record.acknowledge, lambda: self._dead_letters.instead(record, topic))
        self._outbox.add(parcel)

    def _look_up(self, record: Record, order: Order, fingerprint: bytes, home: int, known: bytes) -> None:
        """A record is a duplicate of, or in conflict with, what PostgreSQL has, and not what is remembered alone."""
        first_ms, started = self._times.believed(record.first_ms), self._monotonic()
        flight = Flight(order, fingerprint, home, started, first_ms, record.turn, [record], remembered=known)
        self.flights.take_off(flight)
        self._scoring.add(flight, may_be_settled=True)

    def _take_off(
        self, record: Record, order: Order, fingerprint: bytes, home: int, reopens: Reopens | None = None
    ) -> None:
        now, first_ms, turn = self._monotonic(), self._times.believed(record.first_ms), record.turn
        flight = Flight(order, fingerprint, home, now, first_ms, turn, [record], reopens=reopens)
        self.flights.take_off(flight)
        if not flight.turn.attempts:  # a retry has its row under review already
            self._overdue.add(flight)
            self._metrics.accepted.observe(max(0.0, self._metrics.now() - flight.first_ms / 1000))
        # An order created since the window's start cannot have come before all that `seen` remembers.
        unknown = order.created_at < self._now() - self._window or not self._seen.is_whole(home)
        self._scoring.add(flight, may_be_settled=record.may_be_settled or flight.turn.attempts > 0 or unknown)
