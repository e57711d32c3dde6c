"""PURE: counts over the last so many seconds, forgotten a tenth at a time."""

import math
from collections import deque

_BUCKETS = 10


class Window:
    """`total` things and how many of them were `marked`, in the last `seconds`."""

    __slots__ = ("_buckets", "_current", "_ends", "_seconds", "_width", "marked", "total")

    def __init__(self, seconds: float) -> None:
        self._seconds, self._width = seconds, seconds / _BUCKETS
        self.clear()

    def clear(self) -> None:
        self.total = self.marked = 0
        self._current = [0, 0]
        self._ends = -math.inf
        self._buckets: deque[tuple[float, list[int]]] = deque()

    def add(self, now: float, marked: bool = False) -> None:
        if now >= self._ends:
            self.pass_to(now)
            self._ends, self._current = now + self._width, [0, 0]
            self._buckets.append((now, self._current))
        self.total += 1
        self._current[0] += 1
        if marked:
            self.marked += 1
            self._current[1] += 1

    def pass_to(self, now: float) -> None:
        """Forget what is older than the window. `total` and `marked` hold for the time that was given last."""
        while self._buckets and self._buckets[0][0] <= now - self._seconds:
            _, (total, marked) = self._buckets.popleft()
            self.total -= total
            self.marked -= marked
        if not self._buckets:
            self._ends = -math.inf
