"""Back-pressure: whether another record may be accepted. Not taking the next one is all that is needed."""

import asyncio
import contextlib
from collections.abc import Callable

from creditstream.order.brakes import Brakes
from creditstream.order.flights import Flights
from creditstream.order.outbox import Outbox

#: Seconds. What is not told as an event, such as a window that has passed, is seen this late.
_TICK = 0.1


class Backpressure:
    """Agents wait here before they take a record from their stream."""

    def __init__(self, most: int, flights: Flights, outbox: Outbox, brakes: Brakes) -> None:
        """`most` records of orders in flight, repeats included, and as many forwards and dead letters unsent."""
        self._most, self._flights, self._outbox, self._brakes = most, flights, outbox, brakes
        self._door, self._at_the_door = asyncio.Lock(), 0

    async def room(self) -> None:
        """Returns when another record may be accepted.

        First come, first served: of two topics with a backlog, one would take every place that becomes free.
        """
        if not self._at_the_door and self.has_room():
            return
        self._at_the_door += 1
        try:
            async with self._door:
                await self.until(self.has_room)
        finally:
            self._at_the_door -= 1

    def has_room(self) -> bool:
        """Whether another record may be accepted now."""
        return self._outbox.unsent < self._most and self.may_start()

    def may_start(self) -> bool:
        """Whether another order may start now."""
        return self._flights.held < self._most and not self._brakes.holds(idle=not self._flights)

    def places(self) -> int:
        """How many records orders may still take, while any may start."""
        return self._most - self._flights.held

    async def until(self, has_room: Callable[[], bool]) -> None:
        """Asks again whenever an order has landed."""
        changed = self._flights.changed
        while not has_room():
            changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _TICK)
