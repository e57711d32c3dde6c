"""PURE: an order that could not be scored: when again, or give up. Randomness is passed in."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from creditstream.order.record import Turn

#: Beyond, the power is larger than any `longest`.
_MOST_DOUBLINGS = 60


class RetryRule(NamedTuple):
    """`delay`, `max_age` and `longest` in seconds; `max_turns` on `orders-retry`.

    The delay doubles with each turn up to `longest` (None: it stays as it is). `dice()`, 0 to 1, adds up to half of it:
    orders that failed together do not come back together.
    """

    delay: float
    max_turns: int
    max_age: float
    longest: float | None = None
    dice: Callable[[], float] = lambda: 0.0

    def next_turn(self, turn: Turn, now: datetime, retry_after: float) -> Turn:
        """The turn after a failed one. Without `due`: turns or age are used up.

        `retry_after`: for so many seconds the API asks to be left alone; more than `longest` is not believed.
        """
        turns, first_failed = turn.attempts + 1, turn.first_failed or now
        due = now + timedelta(seconds=self._wait(turn.attempts, retry_after))
        expired = due - first_failed > timedelta(seconds=self.max_age)
        return Turn(turns, first_failed, None if turns > self.max_turns or expired else due)

    @property
    def longest_wait(self) -> float:
        """Seconds between two turns at most, with the part that is left to chance."""
        return self._longest * 1.5

    @property
    def _longest(self) -> float:
        return self.delay if self.longest is None else max(self.delay, self.longest)

    def _wait(self, turns_before: int, retry_after: float) -> float:
        grown = min(self._longest, self.delay * 2 ** min(turns_before, _MOST_DOUBLINGS))
        return float(max(grown, min(retry_after, self._longest)) + self.dice() * grown / 2)
