"""Orders of `orders-retry` wait here for their time, and hold up nothing else."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from creditstream.order.backpressure import Backpressure
from creditstream.order.delays import Delays
from creditstream.order.home_partition import home_partition
from creditstream.order.reception import Reception
from creditstream.order.record import Record
from creditstream.order.routes import Routes

#: Orders that wait, as a multiple of those in flight: one that waits long must not keep out, at the head of its topic,
#: those behind it that are due soon. Delays bounds their bytes too.
_WAITING_MOST = 10


class WaitingRoom:
    """Its orders are on their topic still: all of it may be lost at any moment."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        longest_wait: float,
        routes: Routes,
        reception: Reception,
        backpressure: Backpressure,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`longest_wait`: seconds, whatever a record says."""
        self._most, self._longest_wait, self._routes = _WAITING_MOST * max_in_flight, longest_wait, routes
        self._reception, self._backpressure = reception, backpressure
        self._monotonic, self._now = monotonic, now
        self._delayed, self._started = Delays(), 0

    def __len__(self) -> int:
        """Orders whose time has not come."""
        return len(self._delayed)

    def has_room(self) -> bool:
        """Whether another order may wait here."""
        return self._delayed.has_room(self._most)

    async def room(self) -> None:
        """Returns when it may."""
        await self._backpressure.until(self.has_room)

    def accept(self, record: Record) -> None:
        """For the agent of `orders-retry`."""
        self._reception.guarded(self._accept, record)

    def _accept(self, record: Record) -> None:
        """Its time is by the clock of whoever wrote it. From here on the wait is counted by a clock that does not jump,
        and it is never longer than the rule allows: a clock that was wrong cannot put an order off for years.
        """
        if self._has_moved(record):
            return
        due = record.turn.due
        wait = (due - self._now()).total_seconds() if due else 0.0
        self._delayed.add(self._monotonic() + min(wait, self._longest_wait), record)

    def _has_moved(self, record: Record) -> bool:
        """The topics have more partitions than when this retry was parked: its order has another home now."""
        order = self._reception.read(record)
        if order is None:
            return True
        home = home_partition(order.order_id, self._routes.partitions)
        if record.partition == home:
            return False
        self._reception.send_on(record, order, self._routes.orders_retry, home)
        return True

    def tick(self) -> None:
        """Start the orders that are due."""
        while self._backpressure.may_start() and (record := self._delayed.pop_due(self._monotonic())):
            self._started += 1
            self._reception.guarded(self._reception.resume, record)

    def partitions(self) -> Counter[int]:
        """How many orders wait here, by partition; for liveness."""
        return self._delayed.partitions()

    def next(self) -> tuple[int, int] | None:
        """The partition of the first order that is due and not started, and a number that changes when one starts."""
        record = self._delayed.first_due(self._monotonic())
        return (record.partition, self._started) if record else None

    def clear(self) -> None:
        """Its partitions are given up."""
        self._delayed.clear()
