"""Where `orders-retry` stands, for liveness: what waits there on purpose is no work; what is due must get on."""

from collections import Counter
from typing import NamedTuple

from creditstream.order.flights import Flights
from creditstream.order.waiting_room import WaitingRoom


class RetryWork(NamedTuple):
    """Of one partition of `orders-retry`, in this worker. Each number changes when what it stands for gets on."""

    held: int
    """Records that wait for their time or are on their way; the others that were delivered, nobody has taken."""
    takes: bool
    """Whether more are taken: the waiting room is not full."""
    next_due: int | None
    """Of the orders that are due and not started; None: none is."""
    first_started: int | None
    """Of the order that is on its way and started first; None: none is."""


class RetriesAtWork:
    """Asked by liveness every few seconds: it looks at what is there, and costs nothing in between."""

    def __init__(self, flights: Flights, waiting_room: WaitingRoom) -> None:
        self._flights, self._waiting_room = flights, waiting_room

    def look(self, partitions: frozenset[int]) -> dict[int, RetryWork]:
        """By partition."""
        held, takes, due = self._waiting_room.partitions(), self._waiting_room.has_room(), self._waiting_room.due()
        first: dict[int, int] = {}
        flying = {(record.partition, record.offset): None for record in self._flights.retries()}
        for partition, offset in flying:
            first.setdefault(partition, offset)
        held += Counter(partition for partition, _ in flying)
        return {each: RetryWork(held[each], takes, due.get(each), first.get(each)) for each in partitions}
