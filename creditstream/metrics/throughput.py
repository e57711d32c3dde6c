"""PURE: how many orders this worker finished in each of the last 60 seconds, and how long they took."""

from collections import deque
from collections.abc import Sequence

SECONDS = 60
#: Latencies kept of one second, for its 95th percentile; of more, every second one, and so on.
_KEPT = 1_000


class Throughput:
    """Fed once a batch. Times in seconds of any steady clock."""

    def __init__(self) -> None:
        self._second = 0
        self._orders = 0
        self._latencies: list[float] = []
        #: (second, orders, 95th percentile in ms) of seconds that are over and in which something was finished.
        self._past: deque[tuple[int, int, float]] = deque(maxlen=SECONDS)

    def add(self, now: float, latencies: Sequence[float]) -> None:
        """Orders that were finished now, each after so many seconds."""
        if not latencies:
            return
        self._turn(int(now))
        self._orders += len(latencies)
        room = _KEPT - len(self._latencies)
        step = max(1, -(-len(latencies) // max(1, room)))
        self._latencies += latencies[::step]
        if len(self._latencies) >= _KEPT:
            self._latencies = self._latencies[::2]

    def _turn(self, second: int) -> None:
        if second != self._second:
            if self._orders:
                self._past.append((self._second, self._orders, _p95_ms(self._latencies)))
            self._second, self._orders, self._latencies = second, 0, []

    def series(self, now: float) -> tuple[list[int], list[float | None]]:
        """Orders and p95 latency in ms of each of the last 60 whole seconds, oldest first; None: nothing finished."""
        self._turn(int(now))
        orders, latency = [0] * SECONDS, [None] * SECONDS  # type: list[int], list[float | None]
        for second, count, p95 in self._past:
            place = second - int(now) + SECONDS
            if 0 <= place < SECONDS:
                orders[place], latency[place] = count, p95
        return orders, latency


def _p95_ms(latencies: list[float]) -> float:
    ranked = sorted(latencies)
    return round(ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))] * 1000, 1)
