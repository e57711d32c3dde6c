"""PURE: partitions that have work and do not get on with it, while the group is at rest.

"Alive but not progressing" is the fault that operators fear most: nothing has crashed, and the lag grows.
"""

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P")


class Standing(NamedTuple):
    """Where a partition stands: the offset up to which all is done, and the one after its last record."""

    position: int
    end: int
    delivered: int = 0
    """The offset up to which all was handed on; 0 where that is not asked."""
    unfinished: int = 0
    """Records that were handed on and are not done, wherever they stand."""


class Watchdog(Generic[P]):
    """Times in seconds of any steady clock."""

    def __init__(self, stuck_after: float) -> None:
        self._stuck_after = stuck_after
        self._since: dict[P, tuple[int, float]] = {}
        self._now = 0.0

    def look(self, standings: Mapping[P, Standing], now: float) -> list[P]:
        """The partitions that are stuck. Those that are not given (no longer ours, or a rebalance is on) start anew."""
        self._now = now
        since = {}
        for partition, standing in standings.items():
            before, position = self._since.get(partition), standing.position
            waits = position < standing.end and before is not None and before[0] == position
            since[partition] = before if waits and before is not None else (position, now)
        self._since = since
        return [
            partition
            for partition, (position, start) in since.items()
            if position < standings[partition].end and now - start >= self._stuck_after
        ]

    def blocking_age(self) -> float:
        """For how long the first unfinished record of the slowest partition has held up those behind it."""
        return max((self._now - start for _, start in self._since.values()), default=0.0)
