"""Orders that wait for a risk call: the partitions take turns, so that one full of orders delays no other."""

import asyncio
from collections import deque

from creditstream.order.flight import Flight


class Lines:
    """A line for each partition, in turn; within a line, first come first served."""

    def __init__(self) -> None:
        #: The first is the next one's; one that was served goes to the end.
        self._lines: dict[int, deque[Flight]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, flight: Flight) -> None:
        self._count += 1
        line = self._lines.get(flight.partition)
        if line is None:
            self._lines[flight.partition] = deque([flight])
        else:
            line.append(flight)

    def take(self) -> Flight:
        self._count -= 1
        partition = next(iter(self._lines))
        line = self._lines.pop(partition)
        flight = line.popleft()
        if line:
            self._lines[partition] = line
        return flight


class FairQueue(asyncio.Queue[Flight]):
    """asyncio's queue over `Lines`, by the three methods that it leaves to subclasses."""

    def _init(self, maxsize: int) -> None:
        self._queue = Lines()

    def _get(self) -> Flight:
        return self._queue.take()

    def _put(self, item: Flight) -> None:
        self._queue.add(item)
