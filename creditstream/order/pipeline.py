"""One order's way, step by step (docs/explanation/walk.md): decode, home partition, seen?, scoring, settlement."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from creditstream.metrics.instruments import Instruments
from creditstream.order.dead_letters import letter_parcel, note_letter, truncated, write_letter
from creditstream.order.delays import Delays
from creditstream.order.flight import Flight, Record
from creditstream.order.home_partition import home_partition
from creditstream.order.outbox import Outbox, Parcel
from creditstream.order.ports import Outgoing
from creditstream.order.record_time import RecordTimes
from creditstream.order.reopening import Reopens
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.settlement import Settlement
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.decision import FOR_A_PERSON, WAITING
from schemas.order import InvalidOrder, Order, decode_order
from schemas.status import same_content

_TICK = 0.1
#: Orders that wait for their turn, as a multiple of `max_in_flight`: one that waits long must not keep out, at the
#: head of its topic, those behind it that are due soon. Delays bounds their bytes too.
_WAITING_MOST = 10
#: Outcomes of an order that has a letter.
_LETTERS = frozenset({"unstorable", "conflict", *FOR_A_PERSON})
#: Letters that its limit does not count: answers without a score have one of their own (creditstream.risk.unusable).
_UNCOUNTED = "no_usable_answer"


class Remembers(Protocol):
    """The `seen` table: order id to content fingerprint, per partition."""

    def fingerprint(self, partition: int, order_id: UUID) -> bytes | None: ...


class Intake(Protocol):
    """What may stop the start of orders: the risk API's circuit breaker."""

    def closed_for(self, idle: bool) -> str:
        """Why, or empty. `idle`: no order is in flight, so that nothing but the next one can find out."""
        ...


class Answers(Protocol):
    """How many answers without a usable score are too many: `creditstream.risk.unusable`."""

    def problem(self, now: float) -> str: ...


class Letters(Answers, Protocol):
    """How many dead letters are too many: `creditstream.order.dead_letter_limit`."""

    def count(self, letter: bool, now: float) -> None: ...


class Limits(NamedTuple):
    """The settings that the pipeline reads, by their names there."""

    max_in_flight: int
    under_review_after: float
    order_max_bytes: int
    clock_skew: float
    seen_retention: float = 168.0


class Pipeline:
    """Takes records, gives each exactly one outcome. All state is of this worker and may be lost at any moment."""

    def __init__(
        self,
        *,
        limits: Limits,
        routes: Routes,
        seen: Remembers,
        scoring: Scoring,
        settlement: Settlement,
        outbox: Outbox,
        intake: Intake | None = None,
        letters: Letters | None = None,
        answers: Answers | None = None,
        metrics: Instruments | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._limits, self._routes, self._seen = limits, routes, seen
        self._scoring, self._settlement, self._outbox = scoring, settlement, outbox
        self._intake, self._letters, self._answers = intake, letters, answers
        self._metrics = metrics or Instruments()
        self._monotonic, self._now = monotonic, now
        skew = timedelta(seconds=limits.clock_skew)
        self._times = RecordTimes(now, skew)
        self._window = timedelta(hours=limits.seen_retention) - skew
        self.flights: dict[UUID, Flight] = {}
        self._undecided: deque[Flight] = deque()
        self._changed = asyncio.Event()
        self._door, self._at_the_door = asyncio.Lock(), 0
        self._delayed = Delays()
        settlement.on_over = self._forget
        settlement.accept_again = self._accept_again

    # -- intake

    async def room(self) -> None:
        """Back-pressure: returns when another record may be accepted. Not taking the next one is all that is needed.

        First come, first served: of two topics with a backlog, one would take every place that becomes free.
        """
        if not self._at_the_door and self.has_room():
            return
        self._at_the_door += 1
        try:
            async with self._door:
                await self._until(self.has_room)
        finally:
            self._at_the_door -= 1

    def has_room(self) -> bool:
        """Whether another record may be accepted now."""
        return self._outbox.unsent < self._limits.max_in_flight and self._may_start()

    async def retry_room(self) -> None:
        """The same for `orders-retry`, whose records wait here for their time and hold up nothing else."""
        await self._until(lambda: self._delayed.has_room(_WAITING_MOST * self._limits.max_in_flight))

    def _may_start(self) -> bool:
        if len(self.flights) >= self._limits.max_in_flight or self.problems():
            return False
        return not (self._intake and self._intake.closed_for(not self.flights))

    def problems(self) -> list[str]:
        """Why this worker takes no orders although all it needs is there; for readiness."""
        return [problem for problem in (self.too_many_letters(), self.too_many_unusable()) if problem]

    def too_many_letters(self) -> str:
        """Why intake is stopped by dead letters, or empty."""
        return self._letters.problem(self._monotonic()) if self._letters else ""

    def too_many_unusable(self) -> str:
        """Why intake is stopped by answers without a usable score, or empty."""
        return self._answers.problem(self._monotonic()) if self._answers else ""

    def notes(self) -> list[str]:
        """What people should see although the worker is as ready as it can be."""
        note = self._intake.closed_for(False) if self._intake else ""
        return [note] if note else []

    @property
    def waiting(self) -> int:
        """Orders of `orders-retry` whose time has not come."""
        return len(self._delayed)

    @property
    def unpublished(self) -> int:
        """Orders that are committed and not yet done."""
        return self._settlement.unpublished

    @property
    def unsent(self) -> int:
        """Forwards and letters that wait for their delivery."""
        return self._outbox.unsent

    def _ended(self, letter: bool) -> None:
        if self._letters:
            self._letters.count(letter, self._monotonic())

    async def _until(self, has_room: Callable[[], bool]) -> None:
        while not has_room():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _TICK)

    def accept(self, record: Record) -> None:
        """Steps 1 to 3: a letter, a forward, a duplicate, a conflict, one more delivery of an order, or a new order."""
        self._guarded(self._accept, record)

    def accept_retry(self, record: Record) -> None:
        """An order that waited on `orders-retry`: it goes on when its time has come."""
        self._guarded(self._accept_retry, record)

    def refuse(self, record: Record, reason: str, message: str, size: int = 0) -> None:
        """A record that could not be read whole, by the transport's word. `size`: of its value, some may be cut."""
        self._dead_letter(record, reason, message, size)

    def unforeseen(self, record: Record, error: Exception, step: str = "accepted") -> None:
        """What nobody foresaw costs this record a dead letter, and nothing else."""
        note(self._metrics, step, error, record.place)
        for flight in [flight for flight in self.flights.values() if record in flight.records]:
            flight.records.remove(record)
            if not flight.records:
                self._scoring.give_up(flight)
                del self.flights[flight.order.order_id]
        self._dead_letter(record, "unreadable", f"{type(error).__name__} when it was to be {step}")

    def _guarded(self, step: Callable[[Record], None], record: Record) -> None:
        try:
            step(record)
        except OF_A_RECORD as error:
            self.unforeseen(record, error)

    def _accept(self, record: Record) -> None:
        order = self._read(record)
        if order is None:
            return
        home = home_partition(order.order_id, self._routes.partitions)
        if record.partition != home:
            self._forward(record, order, home)
            return
        fingerprint = order.fingerprint()
        flight = self.flights.get(order.order_id)
        if flight is not None:
            self._join(flight, record, fingerprint)
            return
        known = self._seen.fingerprint(home, order.order_id)
        if known is None:
            self._take_off(record, order, fingerprint, home)
        elif same_content(known, fingerprint):
            self._metrics.duplicates.add()
            self._ended(letter=False)
            record.acknowledge()
        else:
            self._dead_letter(record, "conflict", "the order id was seen before with other content")

    def _accept_retry(self, record: Record) -> None:
        """Its time is by the clock of whoever wrote it. From here on the wait is counted by a clock that does not jump,
        and it is never longer than the rule allows: a clock that was wrong cannot put an order off for years.
        """
        if self._has_moved(record):
            return
        due = record.turn.due
        wait = (due - self._now()).total_seconds() if due else 0.0
        self._delayed.add(self._monotonic() + min(wait, self._scoring.longest_wait), record)

    def _has_moved(self, record: Record) -> bool:
        """The topics have more partitions than when this retry was parked: its order has another home now."""
        order = self._read(record)
        if order is None:
            return True
        home = home_partition(order.order_id, self._routes.partitions)
        if record.partition == home:
            return False
        self._outbox.add(self._onward(record, order, self._routes.orders_retry, home))
        return True

    def _accept_again(self, record: Record) -> None:
        """A joiner of an order that is over, judged by what is known now."""
        self._guarded(self._resume if record.waited else self._accept, record)

    def _read(self, record: Record) -> Order | None:
        """None: it is no order, and has its letter."""
        try:
            return self._decode(record)
        except InvalidOrder as error:
            self._dead_letter(record, error.reason, str(error))
            return None

    def _decode(self, record: Record) -> Order:
        most, ours = self._limits.order_max_bytes, bool(record.believed)
        if not ours and (beside := record.bytes_beside_the_value) > most:  # what we write beside it makes it no larger
            raise InvalidOrder("too_large", f"{beside} bytes of key and headers, the limit is {most}")
        return decode_order(record.value, latest=self._times.latest(record.timestamp_ms, ours=ours), max_bytes=most)

    def _dead_letter(self, record: Record, reason: str, message: str, size: int = 0) -> None:
        note_letter(self._metrics, reason, record)
        self._ended(letter=True)
        letter = truncated(write_letter(self._metrics, record, reason, message, self._now()), size)
        self._outbox.add(letter_parcel(self._routes, letter, record.acknowledge))

    def _forward(self, record: Record, order: Order, home: int) -> None:
        self._outbox.add(self._onward(record, order, self._routes.orders_by_id, home))

    def _onward(self, record: Record, order: Order, topic: str, home: int) -> Parcel:
        """The record on its way to its home partition; a letter when Kafka will not take it there."""

        def letter() -> Parcel:
            note_letter(self._metrics, "too_large", record)
            letter = write_letter(self._metrics, record, "too_large", f"too large for {topic}", self._now())
            return letter_parcel(self._routes, letter, lambda: None)

        carried = record.waiting(record.turn) if record.waited else record.traced()
        if record.waited and (reopens := record.reopens):  # it was not parked: somebody sent its letter again
            carried = (*carried, reopens.header)
        outgoing = Outgoing(str(order.order_id).encode(), record.value, carried)
        return Parcel(topic, home, outgoing, record.acknowledge, letter)

    def _join(self, flight: Flight, record: Record, fingerprint: bytes) -> None:
        """Never "duplicate, done": a redelivery after a rebalance is the only copy whose offset still counts."""
        if fingerprint == flight.fingerprint:
            flight.records.append(record)
        else:
            flight.others.append(record)

    def _take_off(
        self, record: Record, order: Order, fingerprint: bytes, home: int, reopens: Reopens | None = None
    ) -> None:
        now, first_ms, turn = self._monotonic(), self._times.believed(record.first_ms), record.turn
        flight = Flight(order, fingerprint, home, now, first_ms, turn, [record], reopens=reopens)
        self.flights[order.order_id] = flight
        if not flight.turn.attempts:  # a retry has its row under review already
            self._undecided.append(flight)
            self._metrics.accepted.observe(max(0.0, self._metrics.now() - flight.first_ms / 1000))
        may_be_settled = record.may_be_settled or flight.turn.attempts > 0 or order.created_at < self._window_start()
        self._scoring.add(flight, may_be_settled=may_be_settled)

    def _window_start(self) -> datetime:
        """An order created since then cannot have come before all that `seen` remembers."""
        return self._now() - self._window

    # -- time

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.tick()

    def tick(self) -> None:
        """Show orders that wait as under review, and start the retries that are due."""
        overdue = self._monotonic() - self._limits.under_review_after
        while self._undecided and self._undecided[0].started <= overdue:
            flight = self._undecided.popleft()
            if not flight.outcome and not flight.over and flight.row is None:
                flight.decision = WAITING
                self._settlement.add(flight)
        while self._may_start() and (record := self._delayed.pop_due(self._monotonic())):
            self._guarded(self._resume, record)

    def _resume(self, record: Record) -> None:
        """`seen` holds the order since it was parked, and is not asked; PostgreSQL is."""
        order = self._read(record)
        if order is None:
            return
        fingerprint, reopens = order.fingerprint(), record.reopens
        flight = self.flights.get(order.order_id)
        if flight is None:
            home = home_partition(order.order_id, self._routes.partitions)
            self._take_off(record, order, fingerprint, home, reopens)
        elif reopens in (None, flight.reopens):
            self._join(flight, record, fingerprint)
        else:
            flight.others.append(record)  # what somebody wants asked again is not done by a repeat of the order

    # -- the worker's life

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The loops that run for as long as the worker does."""
        yield self._watch_clock()
        yield self._outbox.run()
        yield from self._scoring.tasks()
        yield from self._settlement.tasks()

    async def drain(self, bound: float) -> None:
        """Let orders in flight finish, for `bound` seconds at most (I7)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound):
                await self._until(lambda: not (self.flights or self._outbox.unsent))

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """The partitions that are this worker's now; None while that is open. The rest of the orders are given up."""
        self._settlement.hold(partitions is None)
        if partitions is None:
            self._delayed.clear()
            return
        for flight in list(self.flights.values()):
            if interrupted or flight.partition not in partitions:
                self._scoring.give_up(flight)
                del self.flights[flight.order.order_id]
        self._changed.set()

    def _forget(self, flight: Flight) -> None:
        outcome = _outcome(flight)
        self._metrics.finished.add(outcome)
        self._ended(outcome in _LETTERS and outcome != _UNCOUNTED)
        self._scoring.give_up(flight)
        self.flights.pop(flight.order.order_id, None)
        self._changed.set()


def _outcome(flight: Flight) -> str:
    """How the order, which is over, ended (`Settlement._follow_ups`)."""
    row = flight.row
    if row is None:
        return "unstorable"
    if not row.is_of(flight.fingerprint):
        return "conflict"
    if row.waits_for_person:
        return row.reason
    return row.status if row.is_settled else flight.outcome
