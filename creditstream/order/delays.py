"""When which place is due: all that is held of orders that wait. A million of them are 60 MB (ADR 0024)."""

import heapq
import math
from collections import Counter, defaultdict

from creditstream.order.ports import Place

#: A time in ms and an offset are one integer, which sorts as they do: a third of a tuple's memory.
_OFFSET_BITS = 64


class Delays:
    """A heap for each partition, by monotonic time, which does not jump; at equal times by place. Times in seconds."""

    def __init__(self) -> None:
        self._heaps: defaultdict[int, list[int]] = defaultdict(list)
        #: Until when a partition is passed over.
        self._rests: dict[int, float] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def partitions(self) -> Counter[int]:
        """How many wait, by their partition."""
        return Counter({partition: len(heap) for partition, heap in self._heaps.items()})

    def add(self, due: float, place: Place) -> None:
        """`due` is rounded up: nothing starts before its time."""
        key = max(0, math.ceil(due * 1000)) << _OFFSET_BITS | place.offset
        heapq.heappush(self._heaps[place.partition], key)
        self._count += 1

    def rest(self, partition: int, until: float) -> None:
        """The partition is passed over, whatever is due there. The others are not held up by it."""
        self._rests[partition] = until

    def first_due(self, now: float) -> Place | None:
        """The earliest whose time has come."""
        key, partition = min(self._firsts(now), default=(0, -1))
        return None if partition < 0 else _place(partition, key)

    def pop_due(self, now: float, most: int) -> list[Place]:
        """The earliest whose time has come, at most so many, in the order of their places."""
        found: list[Place] = []
        firsts = self._firsts(now)
        heapq.heapify(firsts)
        while firsts and len(found) < most:
            key, partition = heapq.heappop(firsts)
            found.append(_place(partition, key))
            heap = self._heaps[partition]
            heapq.heappop(heap)
            if heap and _is_due(heap[0], now):
                heapq.heappush(firsts, (heap[0], partition))
        self._count -= len(found)
        return sorted(found)

    def clear(self, partition: int) -> None:
        """Nothing of the partition is held any more."""
        self._count -= len(self._heaps.pop(partition, ()))
        self._rests.pop(partition, None)

    def clear_all(self) -> None:
        for partition in list(self._heaps):
            self.clear(partition)

    def _firsts(self, now: float) -> list[tuple[int, int]]:
        """Key and partition of the first of each partition, where it is due."""
        return [
            (heap[0], partition)
            for partition, heap in self._heaps.items()
            if heap and _is_due(heap[0], now) and self._rests.get(partition, now) <= now
        ]


def _is_due(key: int, now: float) -> bool:
    return key >> _OFFSET_BITS <= now * 1000


def _place(partition: int, key: int) -> Place:
    return Place(partition, key & (1 << _OFFSET_BITS) - 1)
