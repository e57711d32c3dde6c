"""The board of orders in flight. An order that is done lands here, and what waited for that is told.

Every record that an order has taken along is held in memory until it lands: each takes a place (I9).
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from uuid import UUID

from creditstream.metrics.instruments import Instruments
from creditstream.order.brakes import Brakes
from creditstream.order.flight import Flight
from creditstream.order.record import Record
from schemas.decision import FOR_A_PERSON

#: Outcomes of an order that has a dead letter.
_LETTERS = frozenset({"unstorable", "conflict", *FOR_A_PERSON})
#: Letters that the limit does not count: answers without a score have one of their own (creditstream.risk.unusable).
_UNCOUNTED = "no_usable_answer"
#: Of an order that was over before: it does not end once more.
_REPEAT = "repeat"


class Flights(dict[UUID, Flight]):
    """By order id. All of it is of this worker, and may be lost at any moment."""

    def __init__(self, brakes: Brakes, metrics: Instruments) -> None:
        super().__init__()
        self._brakes, self._metrics = brakes, metrics
        #: Set whenever an order has landed or was given up.
        self.changed = asyncio.Event()
        #: Records that joined an order which is over, to be judged by what is known now (`Reception.judge_again`).
        self.again: deque[Record] = deque()
        self.has_again = asyncio.Event()
        self._records = 0

    @property
    def held(self) -> int:
        """Records that are held in memory: of orders in flight, and of those to be judged again."""
        return self._records + len(self.again)

    def unanswered(self) -> list[Flight]:
        """Orders about which PostgreSQL can say nothing yet, the first one first."""
        found = [flight for flight in self.values() if flight.unanswered_since is not None]
        return sorted(found, key=lambda flight: flight.unanswered_since or 0.0)

    def retries(self) -> Iterator[Record]:
        """Those of them that come from `orders-retry`, the order that started first before the others."""
        for flight in self.values():
            yield from (record for record in (*flight.records, *flight.others) if record.waited)
        yield from (record for record in self.again if record.waited)

    def take_off(self, flight: Flight) -> None:
        """For reception: an order begins its way, with its first record."""
        self[flight.order.order_id] = flight
        self._records += len(flight.records)

    def join(self, flight: Flight, record: Record, *, same: bool) -> None:
        """For reception: the order, which is on the board, takes a record along. `same`: it ends as that one does."""
        (flight.records if same else flight.others).append(record)
        self._records += 1

    def leave(self, record: Record) -> None:
        """For reception: the record has a dead letter of its own. An order without records was never on its way."""
        for flight in [flight for flight in self.values() if record in flight.records]:
            flight.records.remove(record)
            self._records -= 1
            if not flight.records:
                flight.end()
                self._remove(flight)
                self._judge_again(flight.others)

    def land(self, flight: Flight, joiners: Sequence[Record] = ()) -> None:
        """The order is over. `joiners`: its records that its outcome does not answer."""
        outcome = _outcome(flight)
        if outcome != _REPEAT:
            self._metrics.finished.add(outcome)
        self._brakes.ended(letter=outcome in _LETTERS and outcome != _UNCOUNTED)
        flight.end()
        self._remove(flight)
        self._judge_again(joiners)
        self.changed.set()

    def keep_only(self, partitions: frozenset[int]) -> None:
        """The other orders are another worker's now."""
        for flight in list(self.values()):
            if flight.partition not in partitions:
                flight.end()
                self._remove(flight)
        self.changed.set()

    def _remove(self, flight: Flight) -> None:
        """Given up, it is not on the board any more; another flight of the same order may be."""
        if self.get(flight.order.order_id) is flight:
            del self[flight.order.order_id]
            self._records -= len(flight.records) + len(flight.others)

    def _judge_again(self, joiners: Sequence[Record]) -> None:
        if joiners:
            self.again.extend(joiners)
            self.has_again.set()


def _outcome(flight: Flight) -> str:
    """How the order, which is over, ended (`creditstream.order.follow_ups`)."""
    row = flight.row
    if flight.is_repeat:
        return _REPEAT
    if row is None and flight.remembered is not None:
        return "conflict"
    if row is None:
        return "unstorable"
    if not row.is_of(flight.fingerprint):
        return "conflict"
    if row.waits_for_person:
        return row.reason
    return row.status if row.is_settled else flight.outcome
