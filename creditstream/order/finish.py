"""Steps 7 to 9: publish the committed row, send what follows, mark `seen`, acknowledge. In this order."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from creditstream.metrics.instruments import Instruments, Series
from creditstream.order.changelog import Changelog, Table
from creditstream.order.flight import Flight, Settled
from creditstream.order.flights import Flights
from creditstream.order.follow_ups import FollowUps
from creditstream.order.outbox import deliver
from creditstream.order.ports import Outgoing, Publishes
from creditstream.order.record import Record
from creditstream.order.routes import Routes
from creditstream.order.terms import Terms
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.headers import Headers
from schemas.status import Row, encode_status


class Sinks(NamedTuple):
    """Where the records of settled orders go, and the table whose changelog the marks are."""

    publisher: Publishes
    status_publisher: Publishes
    seen: Table


class Finisher:
    """Brings committed orders to their end. `wake` is set while some wait."""

    def __init__(
        self,
        routes: Routes,
        sinks: Sinks,
        flights: Flights,
        follow_ups: FollowUps,
        *,
        terms: Terms,
        metrics: Instruments,
        on_finished: Callable[[Sequence[Flight]], None],
    ) -> None:
        """`on_finished`: these orders are over."""
        self._follow_ups, self._flights, self._publisher = follow_ups, flights, sinks.publisher
        self._statuses = Changelog(sinks.status_publisher, routes.order_status, terms)
        self._seen = Changelog(sinks.publisher, routes.seen_changelog, terms, sinks.seen)
        self._metrics, self._on_finished = metrics, on_finished
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
        over = _each_once(settled for settled in batch if settled.complete)
        # Records may join until the end; those that join after this line are judged again, by the mark.
        covered = [frozenset(settled.flight.records) for settled in over]
        await deliver(self._publisher, [parcel for settled in over for parcel in self._follow_ups.of(settled)])
        with timed(self._metrics.mark_seconds):
            await self._mark(over)
        self._metrics.published.observe_all(ages(over, published))
        ended = [(settled.flight, each) for settled, each in zip(over, covered, strict=True) if not settled.flight.over]
        for flight, records in ended:
            self._acknowledge(flight, records)
        self.unpublished -= len(taken)
        self._on_finished([flight for flight, _ in ended if flight.remembered is None])

    async def _publish(self, batch: Sequence[Settled]) -> Sequence[Settled]:
        """Publish what is still ours, and return it."""

        def status(settled: Settled) -> Outgoing | None:
            row = _own_row(settled)
            if row is None:
                return None
            return Outgoing(str(row.order_id).encode(), encode_status(row), self._trace(settled.flight))

        return await self._statuses.write(batch, status)

    def _trace(self, flight: Flight) -> Headers:
        """The row stands, so the record's error no longer changes what becomes of it: it goes on without its trace."""
        try:
            return flight.records[0].traceparent
        except OF_A_RECORD as error:
            note(self._metrics, "published", error, flight.place)
            return ()

    async def _mark(self, over: Sequence[Settled]) -> None:
        """Only what was published above: a conflict met a row whose own status may still have to be published."""

        def mark(settled: Settled) -> Outgoing | None:
            row = _own_row(settled)
            return None if row is None else Outgoing(row.order_id.bytes, row.fingerprint)

        await self._seen.write(over, mark)

    def _acknowledge(self, flight: Flight, covered: frozenset[Record]) -> None:
        """A record that left the order meanwhile is done when its own dead letter is."""
        answered = [record for record in flight.records if record in covered]
        joined = [record for record in flight.records if record not in covered]
        if flight.is_repeat:
            self._metrics.duplicates.add(by=len(answered))
        elif flight.row is not None and flight.row.is_of(flight.fingerprint):
            self._metrics.duplicates.add(by=len(answered) - 1)
        self._flights.land(flight, (*joined, *flight.others))
        for record in answered:
            record.acknowledge()


def _own_row(settled: Settled) -> Row | None:
    """None for a refused order, for a repeat, and for a conflict: the row that it met is another content's."""
    flight, row, _ = settled
    if flight.remembered is not None or not isinstance(row, Row):
        return None
    return row if row.is_of(flight.fingerprint) else None


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
