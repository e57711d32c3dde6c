"""Faults of what is decided, and of what follows a commit, for tests/chaos/mutated_worker.py; and how one is put in."""

from typing import Any

import msgspec

import creditstream.order.scoring
from creditstream.kafka.fenced_publisher import Producer, StatusPublisher, _Gate
from creditstream.order.finish import Finisher
from creditstream.order.flight import Flight
from creditstream.order.policy import Policy
from creditstream.order.scoring import Scoring
from schemas.assessment import Assessment
from schemas.decision import Decision
from schemas.order import Order


def put_in(owner: Any, name: str, fault: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more: the fault would change nothing"
    setattr(owner, name, fault)


def publishing_past_the_fence() -> None:
    """A worker that does not know yet that its partitions are another's publishes what it has committed."""
    put_in(_Gate, "__call__", lambda self: True)
    put_in(StatusPublisher, "end_ownership", lambda self: None)

    async def opened(self: StatusPublisher) -> tuple[_Gate, Producer]:
        if self._current is None:
            gate = _Gate(self._lease_holds)
            self._current = gate, await self._open_producer(gate)
        return self._current

    put_in(StatusPublisher, "_opened", opened)


def mark_before_what_follows() -> None:
    """`seen` is written when the status is published, before the dead letter or the next attempt is delivered."""
    publish = Finisher._publish

    async def mark_next(self: Finisher, batch: list[Any]) -> list[Any]:
        published = await publish(self, batch)
        await self._mark([settled for settled in published if settled.complete])
        return published

    put_in(Finisher, "_publish", mark_next)


#: Orders of this product are approved unasked; PostgreSQL itself refuses an approval that has no score at all.
UNASKED = "microcredit"


def inverted_policy_and_unasked_approvals() -> None:
    """Two faults: what is to be approved is rejected, the other way round; and some are approved without a call."""
    module: Any = creditstream.order.scoring
    decide, score = module.decide, Scoring._score
    other = {"approved": "rejected", "rejected": "approved"}

    def inverted(order: Order, assessment: Assessment, policy: Policy) -> Decision:
        decision: Decision = decide(order, assessment, policy)
        return msgspec.structs.replace(decision, status=other[decision.status])

    async def unasked(self: Scoring, flight: Flight) -> None:
        if flight.order.product != UNASKED:
            await score(self, flight)
            return
        best = Assessment(score=1000, model_version="simulated-1")
        flight.decision, flight.outcome = decide(flight.order, best, self._policy), "decided"

    put_in(module, "decide", inverted)
    put_in(Scoring, "_score", unasked)
