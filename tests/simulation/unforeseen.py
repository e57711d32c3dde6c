"""Errors of single records that nobody foresaw, at any step of their way."""

from collections import Counter
from typing import Any
from uuid import UUID

from creditstream.kafka import consumer_thread
from creditstream.order.reception import Reception
from creditstream.order.record import Record
from creditstream.risk.guarded import GuardedRisk
from creditstream.store.orders import PostgresStore
from schemas.order import Order
from tests.chaos.put_in import put_in
from tests.simulation.evidence import order_id_of


class Unforeseen:
    """Armed for a step and a number of times. The product's own code is patched when a world begins."""

    _STEPS = ("read", "letter", "scored", "trace", "looked up", "fetched")

    def __init__(self) -> None:
        self._armed = Counter[str]()
        #: Orders of which a record was given up as unreadable: they have no row if it was the only one.
        self.given_up: set[UUID | None] = set()

    def arm(self, number: int, times: int) -> str:
        """Returns the step."""
        step = self._STEPS[number % len(self._STEPS)]
        self._armed[step] += times
        return step

    def disarm(self, step: str) -> None:
        del self._armed[step]

    def _comes(self, step: str) -> None:
        if self._armed[step] > 0:
            self._armed[step] -= 1
            raise TypeError("nobody foresaw it")

    def watch(self) -> None:
        """All workers of this process."""
        self._watch_records()
        self._watch_fetches()
        assess, find = GuardedRisk.assess, PostgresStore.find

        async def assessed(risk: GuardedRisk, *given: Any) -> Any:
            self._comes("scored")
            return await assess(risk, *given)

        async def found(store: PostgresStore, *given: Any) -> Any:
            self._comes("looked up")
            return await find(store, *given)

        put_in(GuardedRisk, "assess", assessed)
        put_in(PostgresStore, "find", found)

    def _watch_records(self) -> None:
        tried: set[tuple[object, ...]] = set()
        decode, letter, trace = Reception._decode, Record.letter, vars(Record)["traceparent"].fget

        def decoded(reception: Reception, record: Record) -> Order:
            if not record.waited:  # of one that waits there is a row already
                self._of(record, "read")
            return decode(reception, record)

        def written(record: Record, *given: Any) -> Any:
            if (place := tuple(record.place.values())) not in tried:  # what is left of it then can be written
                tried.add(place)
                self._comes("letter")
            return letter(record, *given)

        def traced(record: Record) -> Any:
            self._of(record, "trace")
            return trace(record)

        put_in(Reception, "_decode", decoded)
        put_in(Record, "letter", written)
        put_in(Record, "traceparent", property(traced))

    def _watch_fetches(self) -> None:
        """The client loses the first record of an answer, and has it when it is asked again."""
        module: Any = consumer_thread
        with_holes, lost = module.with_holes, set[int]()

        def lossy(records: list[Any], start: int, end: int) -> Any:
            found = with_holes(records, start, end)
            if start in lost or self._armed["fetched"] <= 0:
                return found
            self._armed["fetched"] -= 1
            lost.add(start)
            return found[1:]

        put_in(module, "with_holes", lossy)

    def _of(self, record: Record, step: str) -> None:
        try:
            self._comes(step)
        except TypeError:
            self.given_up.add(order_id_of(record.value))
            raise
