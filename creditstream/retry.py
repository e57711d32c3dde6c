"""PURE: an order that could not be scored: when again, or give up."""

from datetime import datetime, timedelta
from typing import NamedTuple

from creditstream.flight import Turn


class RetryRule(NamedTuple):
    """`delay` and `max_age` in seconds; `max_turns` on `orders-retry`."""

    delay: float
    max_turns: int
    max_age: float

    def next_turn(self, turn: Turn, now: datetime) -> Turn:
        """The turn after a failed one. Without `due`: turns or age are used up."""
        turns, first_failed = turn.attempts + 1, turn.first_failed or now
        due = now + timedelta(seconds=self.delay)
        expired = due - first_failed > timedelta(seconds=self.max_age)
        return Turn(turns, first_failed, None if turns > self.max_turns or expired else due)
