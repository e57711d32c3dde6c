"""Orders about which PostgreSQL cannot say anything yet: it is asked again in a moment, until it can."""

import asyncio
from collections.abc import Callable

from creditstream.order.flight import Flight
from creditstream.order.ports import NotYet, Refused

#: Seconds between two questions about an order.
_MOMENT = 0.5
#: Seconds after which what it comes to at last counts, where there is such a thing.
_LONGEST = 60.0


class Unanswered:
    """They wait in memory, each as an order in flight: they take their places, and nobody else waits for them."""

    def __init__(self, again: Callable[[Flight], None]) -> None:
        """`again`: ask about the order again; called for those that are not over."""
        self._again = again
        self._waiting: dict[Flight, None] = {}

    def wait(self, flight: Flight, answer: NotYet) -> Refused | None:
        """None: the order is asked about again. Else it has waited for too long, and this is its answer."""
        loop = asyncio.get_running_loop()
        if flight.unanswered_since is None:
            flight.unanswered_since = loop.time()
        if answer.at_last is not None and loop.time() - flight.unanswered_since >= _LONGEST:
            return answer.at_last
        if not self._waiting:
            loop.call_later(_MOMENT, self._ask)
        self._waiting[flight] = None
        return None

    def answered(self, flight: Flight) -> None:
        """There is an answer, perhaps to another question about it."""
        flight.unanswered_since = None
        self._waiting.pop(flight, None)

    def _ask(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for flight in waiting:
            if not flight.over:
                self._again(flight)
