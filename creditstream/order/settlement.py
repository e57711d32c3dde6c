"""From decision to done: commit, publish the committed row, send what follows, mark `seen`, acknowledge. In this order.

Two loops, so that the next batch commits while the last one is published: `commit_once` and `finish_once`. Each flushes
as soon as its last flush is done (group commit), and not before FLUSH_INTERVAL: batches grow with load.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from msgspec.structs import replace

from creditstream.errors import Fenced, StoreUnavailable
from creditstream.metrics.instruments import Instruments, Series
from creditstream.order.dead_letters import letter_parcel, note_letter, write_letter
from creditstream.order.flight import Flight, Record, Turn
from creditstream.order.outbox import Parcel, deliver, until_taken
from creditstream.order.ports import Outgoing, Proposal, Publishes, Refused, Store
from creditstream.order.routes import Routes
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.decision import FOR_A_PERSON
from schemas.headers import Headers
from schemas.status import Row, encode_status

log = logging.getLogger(__name__)

#: Orders in one transaction: more would hold locks longer and add nothing (docs/measurements/performance.md).
COMMIT_BATCH = 500
#: Seconds from one flush's start to the next: the first after a pause is at once; under load a flush has a fixed
#: cost of its own, which this shares among more orders (measured: docs/measurements/performance.md).
FLUSH_INTERVAL = 0.01
_BACKOFF = 0.5
_FENCED_WAIT = 0.1


class Table(Protocol):
    """A partitioned table whose changelog records were delivered before `put` writes it."""

    def put(self, partition: int, items: Mapping[bytes, bytes], last_offset: int) -> None: ...


class Settled(NamedTuple):
    """What PostgreSQL answered for an order, and whether that ends its way."""

    flight: Flight
    answer: Row | Refused
    complete: bool


class Settlement:
    """Settles orders by the batch."""

    def __init__(
        self,
        *,
        routes: Routes,
        store: Store,
        publisher: Publishes,
        status_publisher: Publishes,
        seen: Table,
        statuses: Table,
        metrics: Instruments | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._routes, self._store = routes, store
        self._publisher, self._status_publisher = publisher, status_publisher
        self._seen, self._statuses, self._now = seen, statuses, now
        self._metrics = metrics or Instruments()
        self._proposed: dict[UUID, Flight] = {}
        #: Orders that are committed and not yet done.
        self.unpublished = 0
        self._committed: list[Settled] = []
        self._wake_commit, self._wake_finish = asyncio.Event(), asyncio.Event()
        self._owning = asyncio.Event()
        #: Set by the pipeline: the order is over; and: judge this record anew.
        self.on_over: Callable[[Flight], None] = lambda flight: None
        self.accept_again: Callable[[Record], None] = lambda record: None
        #: Set by the runtime: these orders are over; once a batch.
        self.on_finished: Callable[[Sequence[Flight]], None] = lambda flights: None

    def add(self, flight: Flight) -> None:
        """Commit the order's `decision`. Only its latest state between two flushes is written."""
        self._proposed[flight.order.order_id] = flight
        self._wake_commit.set()

    def add_committed(self, flight: Flight, row: Row) -> None:
        """The order was found committed before: what follows the commit may not have happened yet."""
        self._committed.append(Settled(flight, row, complete=True))
        self.unpublished += 1
        self._wake_finish.set()

    def hold(self, holding: bool) -> None:
        """While it is open which partitions are ours, nothing is committed or published."""
        if holding:
            self._owning.clear()
        else:
            self._owning.set()

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._loop(self._wake_commit, self.commit_once)
        yield self._loop(self._wake_finish, self.finish_once)

    async def _loop(self, wake: asyncio.Event, flush: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await wake.wait()
            await self._owning.wait()
            started = clock()
            await flush()
            await asyncio.sleep(max(0.0, started + FLUSH_INTERVAL - clock()))

    # -- step 6

    async def commit_once(self) -> None:
        flights = [flight for _, flight in zip(range(COMMIT_BATCH), self._proposed.values(), strict=False)]
        for flight in flights:
            del self._proposed[flight.order.order_id]
        if not self._proposed:
            self._wake_commit.clear()
        batch = [(flight, _proposal(flight), bool(flight.outcome)) for flight in flights if not flight.over]
        if not batch:
            return
        self._metrics.commit_orders.observe(len(batch))
        with _timed(self._metrics.commit_seconds):
            answers = await self._commit([proposal for _, proposal, _ in batch])
        for flight, proposal, complete in batch:
            answer = answers[proposal.order.order_id]
            if isinstance(answer, Row):
                flight.row = answer
            self._committed.append(Settled(flight, answer, complete or _ends(answer, flight)))
        self.unpublished += len(batch)
        self._metrics.committed.observe_all(_ages(self._committed[-len(batch) :], self._metrics.now()))
        self._wake_finish.set()

    async def _commit(self, proposals: Sequence[Proposal]) -> Mapping[UUID, Row | Refused]:
        while True:
            try:
                return await self._store.commit(proposals)
            except StoreUnavailable as error:
                self._metrics.store_retries.add()
                log.warning("PostgreSQL is away, nothing acknowledged, trying again in %.1f s: %s", _BACKOFF, error)
                await asyncio.sleep(_BACKOFF)
            except OF_A_RECORD as error:
                return await self._commit_apart(proposals, error)

    async def _commit_apart(self, proposals: Sequence[Proposal], error: Exception) -> Mapping[UUID, Row | Refused]:
        """Halve a batch that holds an order with which something unforeseen goes wrong, until it is alone."""
        if len(proposals) == 1:
            order_id = proposals[0].order.order_id
            note(self._metrics, "committed", error, {"order_id": str(order_id)})
            return {order_id: Refused("unreadable", f"{type(error).__name__} when it was to be committed")}
        middle = len(proposals) // 2
        return {**await self._commit(proposals[:middle]), **await self._commit(proposals[middle:])}

    # -- steps 7 to 9

    async def finish_once(self) -> None:
        """Each step awaited before the next: a crash between two repeats, and never skips, what follows a commit."""
        self._wake_finish.clear()
        taken, self._committed = self._committed, []
        self._metrics.publish_orders.observe(len(taken))
        with _timed(self._metrics.publish_seconds):
            batch = await self._publish(taken)
        published = self._metrics.now()
        over = _each_once(settled for settled in batch if settled.complete and not settled.flight.over)
        # Records may join until the end; those that join after this line are judged anew, by the mark.
        covered = [tuple(settled.flight.records) for settled in over]
        await deliver(self._publisher, [parcel for settled in over for parcel in self._follow_ups(settled)])
        with _timed(self._metrics.mark_seconds):
            await self._mark(over)
        self._metrics.published.observe_all(_ages(over, published))
        for settled, records in zip(over, covered, strict=True):
            self._acknowledge(settled.flight, records)
        self.unpublished -= len(taken)
        self.on_finished([settled.flight for settled in over])

    async def _publish(self, batch: list[Settled]) -> list[Settled]:
        """Publish what is still ours, and return it. Fenced: look again, when it is known what is."""
        while True:
            await self._owning.wait()
            batch = [settled for settled in batch if not settled.flight.over]
            records: dict[int, list[Outgoing]] = defaultdict(list)
            for flight, row, _ in batch:
                if isinstance(row, Row) and row.is_of(flight.fingerprint):
                    records[flight.partition].append(
                        Outgoing(str(row.order_id).encode(), encode_status(row), self._trace(flight))
                    )
            try:
                await self._write(self._status_publisher, self._routes.order_status, self._statuses, records)
            except Fenced as error:
                log.warning("not published, waiting for the group's word on what is ours: %s", error)
                await asyncio.sleep(_FENCED_WAIT)
            else:
                return batch

    def _trace(self, flight: Flight) -> Headers:
        """The row stands, so the record's error no longer changes what becomes of it: it goes on without its trace."""
        try:
            return flight.records[0].traceparent
        except OF_A_RECORD as error:
            note(self._metrics, "published", error, flight.place)
            return ()

    async def _mark(self, over: list[Settled]) -> None:
        """Only what was published above: a conflict met a row whose own status may still have to be published."""
        records: dict[int, list[Outgoing]] = defaultdict(list)
        for flight, row, _ in over:
            if isinstance(row, Row) and row.is_of(flight.fingerprint):
                records[flight.partition].append(Outgoing(row.order_id.bytes, row.fingerprint))
        await self._write(self._publisher, self._routes.seen_changelog, self._seen, records)

    async def _write(self, publisher: Publishes, topic: str, table: Table, records: dict[int, list[Outgoing]]) -> None:
        """The topic is the table's changelog: delivered first, then written here."""
        if not records:
            return
        last = await until_taken(publisher, topic, records)
        for partition, outgoing in records.items():
            items = {key: value for key, value, _ in outgoing if key is not None and value is not None}
            table.put(partition, items, last[partition])

    def _follow_ups(self, settled: Settled) -> list[Parcel]:
        """What else must be delivered before the order's offsets are done: a retry, or letters."""
        flight, answer = settled.flight, settled.answer
        if isinstance(answer, Refused):
            return self._letters(flight.records, answer.reason, answer.message)
        if not answer.is_of(flight.fingerprint):
            return self._letters(flight.records, "conflict", "the order id is committed with other content")
        if answer.waits_for_person:
            return [self._letter_for_a_person(flight, answer)]
        if flight.outcome == "parked" and not answer.is_settled:
            return [self._waiting(flight)]
        return []

    def _letter_for_a_person(self, flight: Flight, row: Row) -> Parcel:
        """By the row, also when it was found committed: whoever committed it may have died before its letter."""
        first, turn = flight.records[0], flight.turn
        if row.reason == "attempts_exhausted" and flight.outcome != "for_a_person":
            turn = turn._replace(attempts=turn.attempts + 1)  # the last turn was made before
        note_letter(self._metrics, row.reason, first)
        return self._letter(first, row.reason, FOR_A_PERSON[row.reason], turn, row.version)

    def _waiting(self, flight: Flight) -> Parcel:
        """The order's next turn on `orders-retry`; a letter when Kafka will not take it there."""
        first = flight.records[0]

        def letter() -> Parcel:
            return self._letter(first, "attempts_exhausted", "too large for orders-retry", flight.turn)

        try:
            outgoing = Outgoing(str(flight.order.order_id).encode(), first.value, first.waiting(flight.turn))
        except OF_A_RECORD as error:
            note(self._metrics, "published", error, flight.place)
            return letter()
        return Parcel(self._routes.orders_retry, flight.partition, outgoing, lambda: None, letter)

    def _letters(self, records: list[Record], reason: str, message: str) -> list[Parcel]:
        for record in records:
            note_letter(self._metrics, reason, record)
        return [self._letter(record, reason, message) for record in records]

    def _letter(
        self, record: Record, reason: str, message: str, turn: Turn | None = None, row_version: int | None = None
    ) -> Parcel:
        letter = write_letter(self._metrics, record, reason, message, self._now(), turn)
        return letter_parcel(self._routes, replace(letter, row_version=row_version), lambda: None)

    def _acknowledge(self, flight: Flight, covered: Sequence[Record]) -> None:
        flight.over = True
        if flight.row is not None and flight.row.is_of(flight.fingerprint):
            self._metrics.duplicates.add(by=len(covered) - 1)
        self.on_over(flight)
        for record in covered:
            record.acknowledge()
        for record in (*flight.records[len(covered) :], *flight.others):
            self.accept_again(record)


def _each_once(ended: Iterable[Settled]) -> list[Settled]:
    """An order ends twice at once when it is found committed while it is committed as under review: the last counts."""
    return list({settled.flight: settled for settled in ended}.values())


@contextmanager
def _timed(series: Series) -> Iterator[None]:
    started = time.monotonic()
    yield
    series.observe(time.monotonic() - started)


def _ages(batch: Sequence[Settled], now: float) -> list[float]:
    """Seconds since the first record of each order that an answer of the risk API decided: each counts once."""
    return [
        max(0.0, now - settled.flight.first_ms / 1000)
        for settled in batch
        if settled.complete and settled.flight.outcome == "decided"
    ]


def _proposal(flight: Flight) -> Proposal:
    assert flight.decision is not None  # noqa: S101 - `add` is only called with one
    return Proposal(flight.order, flight.fingerprint, flight.decision, flight.replaces)


def _ends(answer: Row | Refused, flight: Flight) -> bool:
    """Whether the answer ends the order's way although the risk API was still being asked."""
    return isinstance(answer, Refused) or answer.is_settled or not answer.is_of(flight.fingerprint)
