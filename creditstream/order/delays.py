"""Records that wait for their time, within bounds."""

import heapq
import itertools

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

    def pop_due(self, now: float) -> Record | None:
        """The earliest record whose time has come."""
        if self._heap and self._heap[0][0] <= now:
            record = heapq.heappop(self._heap)[2]
            self._bytes -= len(record.value or b"")
            return record
        return None

    def clear(self) -> None:
        self._heap.clear()
        self._bytes = 0
