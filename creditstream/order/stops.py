"""PURE: what stops the start of orders for a while, when too much of what ends is bad."""

import math

from creditstream.metrics.window import Window


class Stop:
    """Counts what ends over `window` seconds. Once stopped, for as long; then all is forgotten."""

    def __init__(self, window: float) -> None:
        self._seconds = window
        self._ended = Window(window)
        self._until = -math.inf
        self._why = ""

    def problem(self, now: float) -> str:
        """Why no more records may be taken, or empty."""
        if self._why and now >= self._until:
            self.forget()
        return self._why

    def forget(self) -> None:
        """Count anew."""
        self._why = ""
        self._ended.clear()

    def stop(self, now: float, why: str, setting: str) -> None:
        """From now on, unless it is so already; `why` is told anew."""
        if not self._why:
            self._until = now + self._seconds
        self._why = f"{why}: intake is stopped for {self._seconds:.0f} s ({setting})"
