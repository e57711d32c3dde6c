"""PURE: how fast calls may start, and how many may be repeats. Time is passed in."""

import math

from creditstream.metrics.window import Window


class Pace:
    """Starts of calls, spread evenly: in any second at most `rate` of them; 0: as many as come."""

    #: A start that comes late by up to this many seconds is made up for: timers have a millisecond's grain.
    _SLACK = 0.02

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._interval = (1 + self._SLACK) / rate if rate else 0.0
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until a call may start."""
        return max(0.0, self._next - now) if self.rate else 0.0

    def start(self, now: float) -> None:
        if self.rate:
            self._next = max(self._next, now - self._SLACK) + self._interval


class RetryBudget:
    """Repeats of calls: at most `share` of the orders' first calls in a second, and a few when there are few orders.

    A second: what healthy times would have allowed must not be spent at once when an API begins to fail and orders
    hardly come through.
    """

    _WINDOW = 1.0
    #: Where orders are few, repeats are no storm: so many in ten seconds are free.
    _FEW, _FEW_IN = 10, 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._calls, self._repeats = Window(self._WINDOW), Window(self._FEW_IN)

    def first(self, now: float) -> None:
        """An order's first call starts."""
        self._calls.add(now)

    def take(self, now: float) -> bool:
        """Whether one more repeat may be made; if so, it is counted."""
        calls, repeats = self._calls, self._repeats
        calls.pass_to(now)
        repeats.pass_to(now)
        few = self._share and repeats.total < self._FEW
        if not few and calls.marked >= int(self._share * (calls.total - calls.marked)):
            return False
        calls.add(now, True)
        repeats.add(now)
        return True
