"""Records that wait for their time, within bounds."""

import heapq
import itertools
from collections import Counter

from creditstream.order.record import Record

#: Bytes of values: a bound on memory when the records are large.
_MOST_BYTES = 64 * 1024 * 1024


class Delays:
    """A heap by monotonic time, which does not jump; equal times keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Record]] = []
        self._order = itertools.count()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._heap)

    def has_room(self, most: int) -> bool:
        """For one more, when at most so many may wait."""
        return len(self._heap) < most and self._bytes < _MOST_BYTES

    def add(self, due: float, record: Record) -> None:
        self._bytes += len(record.value or b"")
        heapq.heappush(self._heap, (due, next(self._order), record))

    def partitions(self) -> Counter[int]:
        """How many wait, by their partition."""
        return Counter(record.partition for _, _, record in self._heap)

    def first_due(self, now: float) -> Record | None:
        """What `pop_due` would give."""
        return self._heap[0][2] if self._heap and self._heap[0][0] <= now else None

    def pop_due(self, now: float) -> Record | None:
        """The earliest record whose time has come."""
        record = self.first_due(now)
        if record is not None:
            heapq.heappop(self._heap)
            self._bytes -= len(record.value or b"")
        return record

    def clear(self) -> None:
        self._heap.clear()
        self._bytes = 0
