"""PURE: answers that are given again for a moment: many who ask at once are one question (web, Prometheus)."""

from collections.abc import Callable

HOLD = 0.25
"""Seconds. A question to Redis costs half of a request."""
_MOST = 500


class Held:
    """So many answers at most; with one more, all are forgotten. Times of any steady clock."""

    def __init__(self, clock: Callable[[], float], hold: float = HOLD) -> None:
        """`hold` in seconds."""
        self._clock, self._hold = clock, hold
        #: Until when, by the clock, and what.
        self._answers: dict[str, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> bytes | None:
        until, answer = self._answers.get(key, (float("-inf"), b""))
        return answer if self._clock() < until else None

    def keep(self, key: str, answer: bytes) -> None:
        if len(self._answers) >= _MOST:
            self._answers.clear()
        self._answers[key] = self._clock() + self._hold, answer
