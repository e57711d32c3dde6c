"""Orders about which PostgreSQL cannot say anything yet: it is asked again in a moment, until it can."""

import asyncio
from collections.abc import Callable
from typing import overload

from creditstream.order.flight import Flight
from creditstream.order.ports import Answer, NotYet

#: Seconds between two questions about an order.
_MOMENT = 0.5
#: Seconds for which there was something that counts at last, after which it does.
_LONGEST = 60.0


class Unanswered:
    """They wait in memory, each as an order in flight: they take their places, and nobody else waits for them."""

    def __init__(self, again: Callable[[Flight], None]) -> None:
        """`again`: ask about the order again; called for those that are not over."""
        self._again = again
        self._waiting: dict[Flight, None] = {}

    @overload
    def judged(self, flight: Flight, answer: Answer) -> Answer: ...
    @overload
    def judged(self, flight: Flight, answer: Answer | None) -> Answer | None: ...
    def judged(self, flight: Flight, answer: Answer | None) -> Answer | None:
        """What counts of the answer. NotYet: nothing does, and the order is asked about again."""
        if isinstance(answer, NotYet):
            now = asyncio.get_running_loop().time()
            if answer.at_last is None:
                flight.doubted_since = None
            elif flight.doubted_since is None:
                flight.doubted_since = now
            elif now - flight.doubted_since >= _LONGEST:
                self._end(flight)
                return answer.at_last
            self._wait(flight, now)
            return answer
        if self._waiting or flight.unanswered_since is not None:
            self._end(flight)
        return answer

    def _wait(self, flight: Flight, now: float) -> None:
        if flight.unanswered_since is None:
            flight.unanswered_since = now
        if not self._waiting:
            asyncio.get_running_loop().call_later(_MOMENT, self._ask)
        self._waiting[flight] = None

    def _end(self, flight: Flight) -> None:
        """There is an answer, perhaps to another question about it."""
        flight.unanswered_since = flight.doubted_since = None
        self._waiting.pop(flight, None)

    def _ask(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for flight in waiting:
            if not flight.over:
                self._again(flight)
