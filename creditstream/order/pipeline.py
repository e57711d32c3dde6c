"""One order's way, put together (docs/explanation/walk.md): reception, scoring, settlement over one board."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from creditstream.metrics.instruments import Instruments
from creditstream.order.backpressure import Backpressure
from creditstream.order.brakes import Brakes
from creditstream.order.dead_letters import DeadLetters
from creditstream.order.flights import Flights
from creditstream.order.held_up import HeldUp
from creditstream.order.outbox import Outbox
from creditstream.order.overdue import Overdue
from creditstream.order.ports import RetryTopic
from creditstream.order.reception import Limits, Reception, Remembers
from creditstream.order.retries_at_work import RetriesAtWork
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.settlement import Settlement
from creditstream.order.waiting_room import WaitingRoom

_TICK = 0.1


class Pipeline:
    """Takes records, gives each exactly one outcome. All state is of this worker and may be lost at any moment."""

    def __init__(
        self,
        *,
        limits: Limits,
        routes: Routes,
        seen: Remembers,
        flights: Flights,
        scoring: Scoring,
        settlement: Settlement,
        outbox: Outbox,
        retry_topic: RetryTopic,
        brakes: Brakes,
        metrics: Instruments,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.flights, self.brakes = flights, brakes
        self._scoring, self._settlement, self._outbox = scoring, settlement, outbox
        self._dead_letters = DeadLetters(routes, outbox, brakes, metrics, now)
        self._overdue = Overdue(limits.under_review_after, settlement, monotonic)
        self._backpressure = Backpressure(limits.max_in_flight, flights, outbox, brakes)
        self._reception = Reception(
            limits=limits,
            routes=routes,
            seen=seen,
            flights=flights,
            scoring=scoring,
            overdue=self._overdue,
            outbox=outbox,
            dead_letters=self._dead_letters,
            brakes=brakes,
            metrics=metrics,
            monotonic=monotonic,
            now=now,
        )
        self._waiting_room = WaitingRoom(
            longest_wait=scoring.longest_wait,
            topic=retry_topic,
            reception=self._reception,
            backpressure=self._backpressure,
            metrics=metrics,
            monotonic=monotonic,
            now=now,
        )
        #: For liveness.
        self.retries = RetriesAtWork(flights, self._waiting_room)
        self.held_up = HeldUp(flights, limits.max_in_flight)
        #: For the agents: wait for room, then hand over.
        self.room, self.has_room, self.accept = (
            self._backpressure.room,
            self._backpressure.has_room,
            self._reception.accept,
        )
        self.retry_room, self.accept_retry = self._waiting_room.room, self._waiting_room.accept
        #: The log of a partition of `orders-retry` was cut.
        self.forget_retries = self._waiting_room.forget
        #: For records that the transport could not read whole, or not hand on.
        self.refuse, self.unforeseen = self._dead_letters.send, self._reception.unforeseen

    def notes(self) -> list[str]:
        """What people should see although this worker is as ready as it can be."""
        return [*self.brakes.notes(), *self.held_up.notes()]

    def problems(self) -> list[str]:
        """Why this worker takes no orders although all it needs is there; for readiness."""
        return [*self.brakes.problems(), *self.held_up.problems()]

    @property
    def waiting(self) -> int:
        """Orders of `orders-retry` whose time has not come."""
        return len(self._waiting_room)

    @property
    def unpublished(self) -> int:
        """Orders that are committed and not yet done."""
        return self._settlement.unpublished

    @property
    def unsent(self) -> int:
        """Forwards and dead letters that wait for their delivery."""
        return self._outbox.unsent

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The loops that run for as long as the worker does."""
        yield self._watch_clock()
        yield self._waiting_room.run()
        yield self._reception.judge_again_loop()
        yield self._outbox.run()
        yield from self._scoring.tasks()
        yield from self._settlement.tasks()

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.tick()

    def tick(self) -> None:
        """Show orders that wait as under review."""
        self._overdue.tick()

    async def start_due(self) -> None:
        """One turn of the loop that starts the orders of `orders-retry` whose time has come."""
        await self._waiting_room.run_once()

    def judge_again(self) -> None:
        """One turn of the loop for records that joined an order which is over."""
        self._reception.judge_again()

    async def drain(self, bound: float) -> None:
        """Let orders in flight finish, for `bound` seconds at most (I7)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound):
                await self._backpressure.until(self._is_empty)

    def _is_empty(self) -> bool:
        return not (self.flights or self.flights.again or self._outbox.unsent)

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """The partitions that are this worker's now; None while that is open. The rest of the orders are given up.

        `interrupted`: others may have had these partitions since; what is held of them is given up as well.
        """
        self._settlement.hold(partitions is None)
        self._waiting_room.clear()  # all that waits is delivered again from where positions were taken
        if partitions is None:
            self.flights.again.clear()  # they come again
        else:
            self.flights.keep_only(frozenset() if interrupted else partitions)
