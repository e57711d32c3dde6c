"""Steps 7 to 9: publish the committed row, send what follows, mark `seen`, acknowledge. In this order."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from creditstream.errors import Fenced
from creditstream.metrics.instruments import Instruments, Series
from creditstream.order.flight import Flight, Settled
from creditstream.order.flights import Flights
from creditstream.order.follow_ups import FollowUps
from creditstream.order.outbox import deliver, until_taken
from creditstream.order.ports import Outgoing, Publishes
from creditstream.order.record import Record
from creditstream.order.routes import Routes
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.headers import Headers
from schemas.status import Row, encode_status

log = logging.getLogger(__name__)

_FENCED_WAIT = 0.1


class Table(Protocol):
    """A partitioned table whose changelog records were delivered before `put` writes it."""

    def put(self, partition: int, items: Mapping[bytes, bytes], last_offset: int) -> None: ...


class Sinks(NamedTuple):
    """Where the records of settled orders go, and the tables whose changelogs they are."""

    publisher: Publishes
    status_publisher: Publishes
    seen: Table
    statuses: Table


class Finisher:
    """Brings committed orders to their end. `wake` is set while some wait."""

    def __init__(
        self,
        *,
        routes: Routes,
        sinks: Sinks,
        flights: Flights,
        follow_ups: FollowUps,
        owning: asyncio.Event,
        metrics: Instruments,
        on_finished: Callable[[Sequence[Flight]], None],
    ) -> None:
        """`owning`: set while it is known which partitions are ours. `on_finished`: these orders are over."""
        self._routes, self._follow_ups, self._flights = routes, follow_ups, flights
        self._sinks = sinks
        self._owning, self._metrics, self._on_finished = owning, metrics, on_finished
        #: Orders that are committed and not yet done.
        self.unpublished = 0
        self._committed: list[Settled] = []
        self.wake = asyncio.Event()

    def add(self, committed: Sequence[Settled]) -> None:
        self._committed += committed
        self.unpublished += len(committed)
        self.wake.set()

    async def once(self) -> None:
        """Each step awaited before the next: a crash between two repeats, and never skips, what follows a commit."""
        self.wake.clear()
        taken, self._committed = self._committed, []
        self._metrics.publish_orders.observe(len(taken))
        with timed(self._metrics.publish_seconds):
            batch = await self._publish(taken)
        published = self._metrics.now()
        over = _each_once(settled for settled in batch if settled.complete and not settled.flight.over)
        # Records may join until the end; those that join after this line are judged again, by the mark.
        covered = [tuple(settled.flight.records) for settled in over]
        await deliver(self._sinks.publisher, [parcel for settled in over for parcel in self._follow_ups.of(settled)])
        with timed(self._metrics.mark_seconds):
            await self._mark(over)
        self._metrics.published.observe_all(ages(over, published))
        for settled, records in zip(over, covered, strict=True):
            self._acknowledge(settled.flight, records)
        self.unpublished -= len(taken)
        self._on_finished([settled.flight for settled in over])

    async def _publish(self, batch: list[Settled]) -> list[Settled]:
        """Publish what is still ours, and return it. Fenced: look again, when it is known what is."""
        sinks, told = self._sinks, False
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
                await self._write(sinks.status_publisher, self._routes.order_status, sinks.statuses, records)
            except Fenced as error:
                if not told:  # it may take as long as Kafka is away
                    log.warning("not published, waiting for the group's word on what is ours: %s", error)
                told = True
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
        await self._write(self._sinks.publisher, self._routes.seen_changelog, self._sinks.seen, records)

    async def _write(self, publisher: Publishes, topic: str, table: Table, records: dict[int, list[Outgoing]]) -> None:
        """The topic is the table's changelog: delivered first, then written here."""
        if not records:
            return
        last = await until_taken(publisher, topic, records)
        for partition, outgoing in records.items():
            items = {key: value for key, value, _ in outgoing if key is not None and value is not None}
            table.put(partition, items, last[partition])

    def _acknowledge(self, flight: Flight, covered: Sequence[Record]) -> None:
        if flight.row is not None and flight.row.is_of(flight.fingerprint):
            self._metrics.duplicates.add(by=len(covered) - 1)
        self._flights.land(flight, (*flight.records[len(covered) :], *flight.others))
        for record in covered:
            record.acknowledge()


def _each_once(ended: Iterable[Settled]) -> list[Settled]:
    """An order ends twice at once when it is found committed while it is committed as under review: the last counts."""
    return list({settled.flight: settled for settled in ended}.values())


@contextmanager
def timed(series: Series) -> Iterator[None]:
    started = time.monotonic()
    yield
    series.observe(time.monotonic() - started)


def ages(batch: Sequence[Settled], now: float) -> list[float]:
    """Seconds since the first record of each order that an answer of the risk API decided: each counts once."""
    return [
        max(0.0, now - settled.flight.first_ms / 1000)
        for settled in batch
        if settled.complete and settled.flight.outcome == "decided"
    ]
