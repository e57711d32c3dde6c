"""Records that wait for their time."""

import heapq
import itertools
from datetime import datetime

from creditstream.flight import Record


class Delays:
    """A heap by time; equal times keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Record]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: datetime, record: Record) -> None:
        heapq.heappush(self._heap, (due, next(self._order), record))

    def pop_due(self, now: datetime) -> Record | None:
        """The earliest record whose time has come."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None

    def clear(self) -> None:
        self._heap.clear()
