"""PURE: the circuit breaker: closed, open, half-open with one probe. Time is passed in."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from creditstream.metrics.window import Window

State = Literal["closed", "open", "half_open"]
#: An API that asks for an hour is asked again after this long: a probe costs one call.
_LONGEST_PAUSE = 60.0


class BreakerRule(NamedTuple):
    """Opens when of at least `min_calls` calls in `window` seconds the `share` failed, or so many in a row: where calls
    are thousands a second, a share takes seconds to show. A probe follows each `pause` (seconds)."""

    share: float
    min_calls: int
    window: float
    pause: float


class Breaker:
    """Calls are admitted with a ticket and ended with it; a call that began before the state changed says nothing."""

    def __init__(self, rule: BreakerRule, on_change: Callable[[State, State], None] = lambda old, new: None) -> None:
        self._rule = rule
        self._on_change = on_change
        self.state: State = "closed"
        self.transitions = 0
        self._calls = Window(rule.window)
        self._row = 0
        self._probe_at = -math.inf
        self._probe: int | None = None

    def admit(self, now: float) -> int | None:
        """A ticket for one call, or None: not now. Ask only for a call that starts at once: it may be the probe."""
        if self.state == "closed":
            return self.transitions
        if self.state == "half_open" or now < self._probe_at:
            return None
        self._become("half_open")
        self._probe = self.transitions
        return self._probe

    def ended(self, ticket: int, now: float, *, failed: bool, retry_after: float = 0.0) -> None:
        """The call ended; `failed`: the API did not do its part."""
        if ticket != self.transitions:
            return
        if self.state == "half_open":
            self._open(now, retry_after) if failed else self._become("closed")
            return
        self._calls.add(now, failed)
        self._row = self._row + 1 if failed else 0
        if failed and self._too_many(now):
            self._open(now, retry_after)

    def cancelled(self, ticket: int) -> None:
        """The call ended by our own doing and says nothing about the API."""
        if ticket == self.transitions and self.state == "half_open":
            self._become("open")  # its pause is over: the next call may be the probe

    def is_probe(self, ticket: int) -> bool:
        """Whether that ticket was the last probe's."""
        return ticket == self._probe

    def probe_in(self, now: float) -> float:
        """Seconds until a call may be admitted; infinite while the probe is out."""
        if self.state == "half_open":
            return math.inf
        return 0.0 if self.state == "closed" else max(0.0, self._probe_at - now)

    def _too_many(self, now: float) -> bool:
        self._calls.pass_to(now)
        failed, total = self._calls.marked, self._calls.total
        enough = self._rule.min_calls
        return self._row >= enough or (total >= enough and failed >= self._rule.share * total)

    def _open(self, now: float, retry_after: float) -> None:
        self._probe_at = now + max(self._rule.pause, min(retry_after, _LONGEST_PAUSE))
        self._become("open")

    def _become(self, state: State) -> None:
        old, self.state = self.state, state
        self.transitions += 1
        self._calls.clear()
        self._row = 0
        self._on_change(old, state)
