"""Step 6: decisions become rows, many orders in one transaction (group commit)."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from creditstream.errors import StoreUnavailable
from creditstream.metrics.instruments import Instruments
from creditstream.order.finish import Finisher, ages, timed
from creditstream.order.flight import Flight, Settled
from creditstream.order.ports import Answer, NotYet, Proposal, Refused, Store
from creditstream.order.unanswered import Unanswered
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.status import Row

log = logging.getLogger(__name__)

#: Orders in one transaction: more would hold locks longer and add nothing (docs/measurements/performance.md).
COMMIT_BATCH = 500
_BACKOFF = 0.5


class _Proposed(NamedTuple):
    """As it is committed; what is wanted of the order may be something else by then."""

    flight: Flight
    proposal: Proposal
    complete: bool


class Committer:
    """Commits what was decided, and hands PostgreSQL's answers on. `wake` is set while something waits."""

    def __init__(self, store: Store, finisher: Finisher, metrics: Instruments) -> None:
        self._store, self._finisher, self._metrics = store, finisher, metrics
        self._proposed: dict[UUID, Flight] = {}
        self._unanswered = Unanswered(self.add)
        self.wake = asyncio.Event()

    def add(self, flight: Flight) -> None:
        """Commit the order's `decision`. Only its latest state between two flushes is written."""
        self._proposed[flight.order.order_id] = flight
        self.wake.set()

    async def once(self) -> None:
        """One transaction."""
        flights = [flight for _, flight in zip(range(COMMIT_BATCH), self._proposed.values(), strict=False)]
        for flight in flights:
            del self._proposed[flight.order.order_id]
        if not self._proposed:
            self.wake.clear()
        batch = [
            _Proposed(flight, _proposal(flight), bool(flight.outcome))
            for flight in flights
            if not (flight.over or flight.refused)
        ]
        if not batch:
            return
        self._metrics.commit_orders.observe(len(batch))
        with timed(self._metrics.commit_seconds):
            answers = await self._commit([each.proposal for each in batch])
        settled = list(self._settled(batch, answers))
        if settled:
            self._metrics.committed.observe_all(ages(settled, self._metrics.now()))
            self._finisher.add(settled)

    def _settled(self, batch: Sequence[_Proposed], answers: Mapping[UUID, Answer]) -> Iterator[Settled]:
        for flight, proposal, complete in batch:
            answer = self._unanswered.judged(flight, answers[proposal.order.order_id])
            if isinstance(answer, NotYet):
                continue
            if isinstance(answer, Row):
                flight.row = answer
            else:
                flight.refused = True
            yield Settled(flight, answer, complete or _ends(answer, flight))

    async def _commit(self, proposals: Sequence[Proposal]) -> Mapping[UUID, Answer]:
        while True:
            try:
                return await self._store.commit(proposals)
            except StoreUnavailable as error:
                self._metrics.store_retries.add()
                log.warning("PostgreSQL is away, nothing acknowledged, trying again in %.1f s: %s", _BACKOFF, error)
                await asyncio.sleep(_BACKOFF)
            except OF_A_RECORD as error:
                return await self._commit_apart(proposals, error)

    async def _commit_apart(self, proposals: Sequence[Proposal], error: Exception) -> Mapping[UUID, Answer]:
        """Halve a batch that holds an order with which something unforeseen goes wrong, until it is alone."""
        if len(proposals) == 1:
            order_id = proposals[0].order.order_id
            note(self._metrics, "committed", error, {"order_id": str(order_id)})
            return {order_id: Refused("unreadable", f"{type(error).__name__} when it was to be committed")}
        middle = len(proposals) // 2
        return {**await self._commit(proposals[:middle]), **await self._commit(proposals[middle:])}


def _proposal(flight: Flight) -> Proposal:
    assert flight.decision is not None  # noqa: S101 - `add` is only called with one
    return Proposal(flight.order, flight.fingerprint, flight.decision, flight.replaces)


def _ends(answer: Row | Refused, flight: Flight) -> bool:
    """Whether the answer ends the order's way although the risk API was still being asked."""
    return isinstance(answer, Refused) or answer.is_settled or not answer.is_of(flight.fingerprint)
