"""What else must be delivered before an order is done: its next attempt on `orders-retry`, or dead letters."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from creditstream.metrics.instruments import Instruments
from creditstream.order.dead_letters import letter_parcel, note_letter, write_letter
from creditstream.order.flight import Flight, Settled
from creditstream.order.outbox import Parcel
from creditstream.order.ports import Outgoing, Refused
from creditstream.order.record import Record, Turn
from creditstream.order.routes import Routes
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.decision import FOR_A_PERSON
from schemas.status import Row


class FollowUps:
    """Read from PostgreSQL's answer: whoever committed it may have died before."""

    def __init__(self, routes: Routes, metrics: Instruments, now: Callable[[], datetime]) -> None:
        self._routes, self._metrics, self._now = routes, metrics, now

    def of(self, settled: Settled) -> Sequence[Parcel]:
        """For the finisher, of an order whose way ends with this answer."""
        flight, answer = settled.flight, settled.answer
        if flight.is_repeat:
            return ()
        if isinstance(answer, Refused) and flight.remembered is None:
            return self._letters(flight.records, answer.reason, answer.message)
        if isinstance(answer, Refused) or not answer.is_of(flight.fingerprint):
            return self._letters(flight.records, "conflict", "the order id is committed with other content")
        if answer.waits_for_person:
            return [self._letter_for_a_person(flight, answer)]
        if flight.outcome == "parked" and not answer.is_settled:
            return [self._waiting(flight)]
        return ()

    def _letter_for_a_person(self, flight: Flight, row: Row) -> Parcel:
        """By the row, also when it was found committed."""
        first, turn = flight.records[0], flight.turn
        if row.reason == "attempts_exhausted" and flight.outcome != "for_a_person":
            turn = turn._replace(attempts=turn.attempts + 1)  # the last turn was made before
        note_letter(self._metrics, row.reason, first)
        return self._letter(first, row.reason, FOR_A_PERSON[row.reason], turn, row.version)

    def _waiting(self, flight: Flight) -> Parcel:
        """The order's next turn on `orders-retry`; a letter when Kafka will not take it there."""
        first = flight.records[0]

        def letter() -> Parcel:
            return self._letter(first, "attempts_exhausted", "too large for orders-retry", flight.turn)

        try:
            outgoing = Outgoing(str(flight.order.order_id).encode(), first.value, first.waiting(flight.turn))
        except OF_A_RECORD as error:
            note(self._metrics, "published", error, flight.place)
            return letter()
        return Parcel(self._routes.orders_retry, flight.partition, outgoing, lambda: None, letter)

    def _letters(self, records: list[Record], reason: str, message: str) -> list[Parcel]:
        for record in records:
            note_letter(self._metrics, reason, record)
        return [self._letter(record, reason, message) for record in records]

    def _letter(
        self, record: Record, reason: str, message: str, turn: Turn | None = None, row_version: int | None = None
    ) -> Parcel:
        letter = write_letter(self._metrics, record, reason, message, self._now(), turn)
        return letter_parcel(self._routes, replace(letter, row_version=row_version), lambda: None)
