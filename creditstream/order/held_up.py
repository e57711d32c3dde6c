"""Orders about which PostgreSQL can say nothing yet, for people and for liveness: no restart of a worker helps them."""

import asyncio

from creditstream.order.flights import Flights

#: Seconds. A month that is made at once is nothing to be told.
_AFTER = 5.0


class HeldUp:
    """Asked by readiness, the page, and the watchdog. Their months cannot be made now, or are being dropped."""

    def __init__(self, flights: Flights, most: int) -> None:
        """`most`: records of orders in flight."""
        self._flights, self._most = flights, most

    def notes(self) -> list[str]:
        """What people should see while the worker takes other orders; empty when there is nothing."""
        told = self._told()
        return [told] if told and not self._are_all() else []

    def problems(self) -> list[str]:
        """Why it takes no others; empty when it does."""
        told = self._told()
        return [f"{told}; they take every place, and no others are taken"] if told and self._are_all() else []

    def partitions(self) -> frozenset[tuple[str, int]]:
        """Topic and partition of each record that cannot be done before PostgreSQL has an answer."""
        records = (record for flight in self._flights.unanswered() for record in (*flight.records, *flight.others))
        return frozenset((record.topic, record.partition) for record in records)

    def _told(self) -> str:
        found = self._flights.unanswered()
        since = found[0].unanswered_since if found else None
        if since is None or (seconds := asyncio.get_running_loop().time() - since) < _AFTER:
            return ""
        many = "1 order waits" if len(found) == 1 else f"{len(found)} orders wait"
        return (
            f"{many} for their month in PostgreSQL, for {seconds:.0f} s: who holds a lock on `orders`, may our role "
            "create tables, is the month being dropped?"
        )

    def _are_all(self) -> bool:
        """Whether there is no place, and most are theirs."""
        theirs = sum(len(flight.records) + len(flight.others) for flight in self._flights.unanswered())
        return self._flights.held >= self._most and 2 * theirs >= self._most
