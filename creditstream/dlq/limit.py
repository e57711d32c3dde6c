"""PURE: how many dead letters are too many. A bad deploy must not dead-letter a whole topic."""

import math

from creditstream.risk.window import Window


class DeadLetterLimit:
    """Counts records as they end. Exceeded by `most` letters in a row, or by `share` of the records of `window` seconds
    when the letters are at least `most`; then for `window` seconds, and forgotten after it. `most` 0: never."""

    def __init__(self, most: int, share: float, window: float) -> None:
        self._most, self._share, self._seconds = most, share, window
        self._ended = Window(window)
        self._row = 0
        self._until = -math.inf
        self._why = ""

    def count(self, letter: bool, now: float) -> None:
        """A record has ended, as a letter or as something else."""
        self._ended.add(now, letter)
        self._row = self._row + 1 if letter else 0
        if letter and 0 < self._most <= max(self._row, self._ended.marked):
            self._judge(now)

    def problem(self, now: float) -> str:
        """Why no more records may be taken, or empty."""
        if self._why and now >= self._until:
            self._why, self._row = "", 0
            self._ended.clear()
        return self._why

    def _judge(self, now: float) -> None:
        self._ended.pass_to(now)
        letters, total = self._ended.marked, self._ended.total
        if self._row >= self._most:
            self._stop(now, f"{self._row} records in a row became dead letters")
        elif letters >= self._most and letters > self._share * total:
            self._stop(now, f"{letters} of the last {total} records became dead letters")

    def _stop(self, now: float, why: str) -> None:
        if not self._why:
            self._until = now + self._seconds
        self._why = f"{why}: intake is stopped for {self._seconds:.0f} s (CREDITSTREAM_DEAD_LETTER_LIMIT)"
