"""PURE: how long a call waits for an API that works on so many at a time."""

import heapq


class Slots:
    """None at first: no call waits for another. Times in seconds, of any clock."""

    def __init__(self) -> None:
        #: When each is free, a heap.
        self._free_at: list[float] = []

    def resize(self, capacity: int) -> None:
        """0: no queue. Of the slots that are there, those that are free last stay."""
        free = heapq.nlargest(capacity, self._free_at)
        self._free_at = free + [0.0] * (capacity - len(free))
        heapq.heapify(self._free_at)

    def take(self, now: float, work: float) -> float:
        """A call comes that takes `work`: seconds until it is done."""
        if not self._free_at:
            return work
        done = max(now, self._free_at[0]) + work
        heapq.heapreplace(self._free_at, done)
        return done - now
