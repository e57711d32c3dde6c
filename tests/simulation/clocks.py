"""Virtual time in place of `time`'s. Imported before everything else: others take `monotonic` by name at import.

One world at a time. Each worker may have clocks of its own: set wrong, put forward or back, faster or slower.
"""

import time
from contextvars import ContextVar
from typing import Protocol


class Clocks(Protocol):
    """Of one worker: what its machine's clocks show."""

    def wall(self, now: float) -> float: ...

    def steady(self, now: float) -> float: ...

    def runs(self, handle: object) -> bool:
        """Whether a callback of its runs now. Dropped when it is dead; kept by it when it is frozen."""
        ...


#: The worker whose code is running: tasks and timers inherit it. None: the world itself.
WORKER: ContextVar["Clocks | None"] = ContextVar("worker", default=None)
#: 2026-11-24T12:00:00Z in seconds since 1970: when every world begins.
BEGINNING = 1_795_521_600.0

real_process_time = time.process_time
real_monotonic = time.monotonic
_real_wall = time.time


class _Now:
    """Seconds since the world began. While nothing is played, `time` tells the real time."""

    seconds = 0.0
    is_played = False


now = _Now()


def _wall() -> float:
    if not now.is_played:
        return _real_wall()
    worker = WORKER.get()
    return BEGINNING + now.seconds if worker is None else worker.wall(BEGINNING + now.seconds)


def _steady(_clock: int = 0) -> float:
    if not now.is_played:
        return real_monotonic()
    worker = WORKER.get()
    return now.seconds if worker is None else worker.steady(now.seconds)


def take_over() -> None:
    """Once, in the whole process: others take these functions by name when they are imported."""
    time.time = _wall
    time.time_ns = lambda: int(_wall() * 1e9)
    time.monotonic = time.perf_counter = time.process_time = _steady
    time.monotonic_ns = time.perf_counter_ns = lambda: int(_steady() * 1e9)
    time.clock_gettime = _steady


take_over()
