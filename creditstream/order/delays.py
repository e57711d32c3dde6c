"""When which place is due: all that is held of orders that wait. A million of them are 60 MB (ADR 0024)."""

import heapq
import math
from collections import Counter

from creditstream.order.ports import Place

#: A time in ms, a partition and an offset are one integer, which sorts as they do: a third of a tuple's memory.
_OFFSET_BITS, _PLACE_BITS = 64, 84


class Delays:
    """A heap by monotonic time, which does not jump; at equal times by place. Times in seconds."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._partitions = Counter[int]()

    def __len__(self) -> int:
        return len(self._heap)

    def partitions(self) -> Counter[int]:
        """How many wait, by their partition."""
        return self._partitions.copy()

    def add(self, due: float, place: Place) -> None:
        """`due` is rounded up: nothing starts before its time."""
        key = max(0, math.ceil(due * 1000)) << _PLACE_BITS | place.partition << _OFFSET_BITS | place.offset
        heapq.heappush(self._heap, key)
        self._partitions[place.partition] += 1

    def first_due(self, now: float) -> Place | None:
        """The earliest whose time has come."""
        return _place(self._heap[0]) if self._heap and self._heap[0] >> _PLACE_BITS <= now * 1000 else None

    def pop_due(self, now: float, most: int) -> list[Place]:
        """The earliest whose time has come, at most so many, in the order of their places."""
        found: list[Place] = []
        while len(found) < most and (place := self.first_due(now)):
            heapq.heappop(self._heap)
            self._partitions[place.partition] -= 1
            found.append(place)
        return sorted(found)

    def clear(self) -> None:
        self._heap.clear()
        self._partitions.clear()


def _place(key: int) -> Place:
    place = key & (1 << _PLACE_BITS) - 1
    return Place(place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1)
