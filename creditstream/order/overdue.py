"""Orders that have waited for a while are shown as under review."""

import time
from collections import deque
from collections.abc import Callable

from creditstream.order.flight import Flight
from creditstream.order.settlement import Settlement
from schemas.decision import WAITING


class Overdue:
    """Orders in flight that have no row yet, in the order of their start."""

    def __init__(self, after: float, settlement: Settlement, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`after`: seconds in flight."""
        self._after, self._settlement, self._monotonic = after, settlement, monotonic
        self._undecided: deque[Flight] = deque()

    def add(self, flight: Flight) -> None:
        self._undecided.append(flight)

    def tick(self) -> None:
        """Those that are due have a row from here on."""
        started_by = self._monotonic() - self._after
        while self._undecided and self._undecided[0].started <= started_by:
            flight = self._undecided.popleft()
            if not (flight.outcome or flight.over or flight.refused) and flight.row is None:
                flight.decision = WAITING
                self._settlement.add(flight)
