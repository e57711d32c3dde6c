"""From decision to done: two loops, so that the next batch commits while the last one is published.

Each flushes as soon as its last flush is done (group commit), and not before FLUSH_INTERVAL: batches grow with load.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from creditstream.metrics.instruments import Instruments
from creditstream.order.commit import Committer
from creditstream.order.finish import Finisher, Sinks
from creditstream.order.flight import Flight, Settled
from creditstream.order.flights import Flights
from creditstream.order.follow_ups import FollowUps
from creditstream.order.ports import Refused, Store
from creditstream.order.routes import Routes
from creditstream.order.terms import Terms
from schemas.status import Row

#: Seconds from one flush's start to the next: the first after a pause is at once; under load a flush has a fixed
#: cost of its own, which this shares among more orders (measured: docs/measurements/performance.md).
FLUSH_INTERVAL = 0.01


class Settlement:
    """Settles orders by the batch: `creditstream.order.commit`, then `creditstream.order.finish`."""

    def __init__(
        self,
        *,
        routes: Routes,
        store: Store,
        sinks: Sinks,
        flights: Flights,
        lease_holds: Callable[[], bool],
        metrics: Instruments,
        on_finished: Callable[[Sequence[Flight]], None] = lambda flights: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`lease_holds`: as `Terms` takes it. `on_finished`: these orders are over; called once a batch."""
        self._terms = Terms(lease_holds)
        follow_ups = FollowUps(routes, metrics, now)
        self._finisher = Finisher(
            routes, sinks, flights, follow_ups, terms=self._terms, metrics=metrics, on_finished=on_finished
        )
        self._committer = Committer(store, self._finisher, metrics)
        #: For scoring; one turn of each loop.
        self.add, self.commit_once, self.finish_once = self._committer.add, self._committer.once, self._finisher.once

    @property
    def unpublished(self) -> int:
        """Orders that are committed and not yet done."""
        return self._finisher.unpublished

    def add_committed(self, flight: Flight, answer: Row | Refused) -> None:
        """The order was found committed before: what follows the commit may not have happened yet."""
        self._finisher.add([Settled(flight, answer, complete=True)])

    def hold(self, holding: bool) -> None:
        """While it is open which partitions are ours, nothing is committed or published."""
        self._terms.hold(holding)

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._loop(self._committer.wake, self.commit_once)
        yield self._loop(self._finisher.wake, self.finish_once)

    async def _loop(self, wake: asyncio.Event, flush: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await wake.wait()
            await self._terms.known()
            started = clock()
            await flush()
            await asyncio.sleep(max(0.0, started + FLUSH_INTERVAL - clock()))
