"""PURE: how many calls may be in flight. Time is passed in."""

import math
from collections import deque
from collections.abc import Callable

#: Calls that make a sample, and its shortest time in seconds: fewer are noise, more follow a change too late.
_SAMPLE_CALLS = 25
_SAMPLE_SECONDS = 0.1
#: Latency above the unloaded one that is no sign of a queue yet: our own event loop and the API's jitter.
_TOLERANCE = 1.25
#: Share of a core at which we are the bottleneck: the latency is ours; an API with a queue would leave us idle.
_BUSY = 0.75
#: The largest step down, for a sample.
_SHRINK = 0.5
#: Share of dropped calls in a sample that is no sign of overload.
_DROPS_BY_CHANCE = 0.1
#: The unloaded latency is forgotten after so many seconds; shortly before, it is measured anew with the limit at
#: `_PROBE` of itself, which lies below the capacity (the limit settles at 1.25 of it).
_REMEMBER = 10.0
_PROBE_EVERY = 8.0
_PROBE = 0.6
#: Sooner at the start and after a probe that found another latency by more than chance: it may not have found all.
_PROBE_SOON = 1.0
#: Samples of a probe: in the first the queue still empties.
_PROBE_SAMPLES = 2


class Limiter:
    """Gradient, after Netflix concurrency-limits: new limit = limit × unloaded latency / latency + room for a queue.

    With a capacity of C the limit settles at 1.25 C + √C: in one step from above, by √limit a sample from below, and by
    half of itself a sample until there was a queue for the first time.
    Compared are means of samples, so that an API whose calls differ in length is not taken for an overloaded one.
    """

    __slots__ = (
        "_began",
        "_calls",
        "_cpu",
        "_cpu_began",
        "_drops",
        "_ends",
        "_exact",
        "_fresh",
        "_latencies",
        "_latency",
        "_probe_at",
        "_probed",
        "_probing",
        "_saturated",
        "_sum",
        "ceiling",
        "floor",
        "in_flight",
        "limit",
    )

    def __init__(self, *, floor: int, ceiling: int, start: int, cpu: Callable[[], float] = lambda: 0.0) -> None:
        """`cpu`: seconds of processor time that this process has used."""
        self._cpu = cpu
        self.floor, self.ceiling = min(floor, ceiling), ceiling
        self._exact = float(max(self.floor, min(start, ceiling)))
        self.limit = int(self._exact)
        self.in_flight = 0
        #: Means of the last samples with their times; the least is the unloaded latency.
        self._latencies: deque[tuple[float, float]] = deque()
        self._latency = 0.0
        self._probe_at, self._probing, self._probed = math.inf, 0, 0.0
        self._fresh = True
        self._begin(-math.inf)

    def _begin(self, now: float) -> None:
        # As long as a call takes at least: what a changed limit does shows only in calls that began after it.
        self._ends = now + max(_SAMPLE_SECONDS, self._latency)
        self._began, self._cpu_began = now, self._cpu()
        self._calls = self._drops = 0
        self._sum = 0.0
        self._saturated = self.in_flight >= self.limit

    @property
    def unloaded(self) -> float:
        """The latency of an API that is not busy, in seconds; 0 when not known."""
        return self._latencies[0][1] if self._latencies else 0.0

    def start(self) -> None:
        """A call starts: only when `in_flight` is below `limit`."""
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._saturated = True

    def ended(self, now: float, seconds: float, *, dropped: bool = False) -> None:
        """A call ended after `seconds`; `dropped`: without an answer, so that its time says nothing."""
        if self._ends == -math.inf:
            self._begin(now)  # the first calls to end are the short ones
        self.in_flight -= 1
        self._calls += 1
        if dropped:
            self._drops += 1
        else:
            self._sum += seconds
        if self._calls >= _SAMPLE_CALLS and now >= self._ends:
            self._judge(now)
            self._begin(now)

    def cancelled(self) -> None:
        """The call's end says nothing about the API."""
        self.in_flight -= 1

    def _judge(self, now: float) -> None:
        drops = self._drops / self._calls
        if drops > _DROPS_BY_CHANCE:
            self._fresh = False
            self._set(self._exact * max(_SHRINK, 1 - drops))
            return
        latency = self._latency = self._sum / (self._calls - self._drops)
        self._remember(now, latency)
        if self._probing:
            self._go_on_probing(now)
        elif now >= self._probe_at and self._saturated:
            self._probing, self._probed = _PROBE_SAMPLES, self.unloaded
            self.limit = max(self.floor, int(self._exact * _PROBE))
        elif self._saturated:
            busy = self._cpu() - self._cpu_began >= _BUSY * (now - self._began)
            gradient = 1.0 if busy or not latency else min(1.0, _TOLERANCE * self.unloaded / latency)
            self._fresh = self._fresh and gradient == 1.0
            room = self._exact / 2 if self._fresh else math.sqrt(self._exact)
            self._set(self._exact * max(_SHRINK, gradient) + room)

    def _go_on_probing(self, now: float) -> None:
        self._probing -= 1
        if not self._probing:
            found_other = self._probed > _TOLERANCE * self.unloaded
            self._probe_at = now + (_PROBE_SOON if found_other else _PROBE_EVERY)
            self._set(self._exact)

    def _remember(self, now: float, latency: float) -> None:
        """A monotonic queue: the least of the last `_REMEMBER` seconds stands first."""
        if self._probe_at == math.inf:
            self._probe_at = now + _PROBE_SOON
        while self._latencies and self._latencies[-1][1] >= latency:
            self._latencies.pop()
        self._latencies.append((now, latency))
        while self._latencies[0][0] < now - _REMEMBER:
            self._latencies.popleft()

    def _set(self, limit: float) -> None:
        self._exact = max(float(self.floor), min(limit, float(self.ceiling)))
        self.limit = int(self._exact)
