"""Faults of an order's way as patches of the product's code, for chaos runs and for the simulation: one at a time."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from faust.transport.drivers.aiokafka import Transport

import creditstream.order.finish
import creditstream.order.reception
import creditstream.order.scoring
import creditstream.worker.intake
from creditstream.kafka.fenced_publisher import StatusPublisher, _Gate
from creditstream.kafka.offsets import Progress
from creditstream.order.finish import Finisher
from creditstream.order.flight import Flight, Settled
from creditstream.order.flights import Flights
from creditstream.order.policy import Policy
from creditstream.order.reception import Reception
from creditstream.order.record import Record
from creditstream.order.scoring import Scoring
from creditstream.order.terms import Terms
from creditstream.worker.app import CreditApp
from schemas.assessment import Assessment
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import Row, encode_status

#: Orders of this product are approved unasked; PostgreSQL itself refuses an approval that has no score at all.
UNASKED = "microcredit"


def put_in(owner: Any, name: str, fault: Any) -> None:
    """In place of what has that name there; a name that is gone is an error, for the fault would change nothing."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: the fault would change nothing"
    setattr(owner, name, fault)


def ack_out_of_order() -> None:
    """Faust's issue 606: what is committed follows the newest finished record."""

    def finish(self: Progress, offset: int) -> None:
        self.position = max(self.position, offset + 1)

    put_in(Progress, "finish", finish)


def mark_before_the_effects() -> None:
    """`seen` is written before the status is published."""
    publish = Finisher._publish

    async def mark_first(self: Finisher, batch: Sequence[Settled]) -> Sequence[Settled]:
        await self._mark([settled for settled in batch if settled.complete])
        return await publish(self, batch)

    put_in(Finisher, "_publish", mark_first)


def mark_before_what_follows() -> None:
    """`seen` is written when the status is published, before the dead letter or the next attempt is delivered."""
    publish = Finisher._publish

    async def mark_next(self: Finisher, batch: Sequence[Settled]) -> Sequence[Settled]:
        published = await publish(self, batch)
        await self._mark([settled for settled in published if settled.complete])
        return published

    put_in(Finisher, "_publish", mark_next)


def status_from_memory() -> None:
    """What is published is what this worker decided, at its own time, not the row that PostgreSQL committed."""

    def from_memory(row: Row) -> bytes:
        return encode_status(msgspec.structs.replace(row, version=1, updated_at=datetime.now(UTC)))

    put_in(creditstream.order.finish, "encode_status", from_memory)


def no_home_partition() -> None:
    """Every order stays on the partition on which it arrived."""
    accept = Reception.accept

    def at_home(self: Reception, record: Record) -> None:
        put_in(creditstream.order.reception, "home_partition", lambda order_id, partitions: record.partition)
        accept(self, record)

    put_in(Reception, "accept", at_home)


def redelivery_is_a_duplicate() -> None:
    """A record of an order in flight is done at once instead of joining it."""

    def done(self: Flights, flight: Flight, record: Record, *, same: bool) -> None:
        record.acknowledge()

    put_in(Flights, "join", done)


def own_all_partitions(app: CreditApp) -> None:
    """After each rebalance: Faust's own consumer tells nobody which are its worker's."""

    async def all_are_ours(*_: Any, **__: Any) -> None:
        app.runtime.own(frozenset(range(app.settings.partitions)))
        print("at work on partitions of Faust's own consumer", file=sys.stderr, flush=True)

    app.__dict__["all_are_ours"] = all_are_ours  # a signal forgets whom nobody else holds
    app.on_rebalance_complete.connect(all_are_ours)


def fausts_own_consumer() -> None:
    """Faust's consumer class in place of ours; the rest as it is."""
    put_in(CreditApp, "_new_transport", lambda self: Transport(self.conf.broker_consumer, self))
    group = SimpleNamespace(
        standings=dict, unpositioned=set, open_transactions=dict, lease_holds=lambda: True, progress={}
    )
    put_in(CreditApp, "group", group)

    def taken(_consumer: object, event: Any, believed: dict[str, frozenset[str]]) -> Record:
        return creditstream.worker.intake.record_of(event, believed, replayed=True)

    put_in(creditstream.worker.intake, "_record", taken)
    made = CreditApp.__init__

    def watching(self: CreditApp, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        own_all_partitions(self)

    put_in(CreditApp, "__init__", watching)


def publishing_past_the_fence() -> None:
    """A worker that does not know yet that its partitions are another's publishes what it has committed."""
    put_in(_Gate, "__call__", lambda self: True)
    put_in(StatusPublisher, "end_ownership", lambda self: None)
    put_in(Terms, "require", lambda self, term: None)

    async def opened(self: StatusPublisher) -> Any:
        if self._current is None:
            gate = _Gate(lambda: True)
            self._current = gate, await self._open_producer(gate)
        return self._current

    put_in(StatusPublisher, "_opened", opened)


def inverted_policy() -> None:
    """What is to be approved is rejected, and the other way round."""
    module: Any = creditstream.order.scoring
    decide = module.decide
    other = {"approved": "rejected", "rejected": "approved", "under_review": "under_review"}

    def inverted(order: Order, assessment: Assessment, policy: Policy) -> Decision:
        decision: Decision = decide(order, assessment, policy)
        return msgspec.structs.replace(decision, status=other[decision.status])

    put_in(module, "decide", inverted)


def approval_without_score() -> None:
    """Orders of one product are approved without a call."""
    module: Any = creditstream.order.scoring
    decide, score = module.decide, Scoring._score

    async def unasked(self: Scoring, flight: Flight) -> None:
        if flight.order.product != UNASKED:
            await score(self, flight)
            return
        best = Assessment(score=1000, model_version="simulated-1")
        flight.decision, flight.outcome = decide(flight.order, best, self._policy), "decided"

    put_in(Scoring, "_score", unasked)


def inverted_policy_and_unasked_approvals() -> None:
    """Two faults, both of which must be found."""
    approval_without_score()
    inverted_policy()
