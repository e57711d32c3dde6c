"""The calibrations of docs/measurements/calibration.md as patches of the product's code: a process has one of them."""

from typing import Any

import msgspec

import creditstream.order.finish
import creditstream.order.reception
import creditstream.order.scoring
from creditstream.kafka.fenced_publisher import StatusPublisher, _Gate
from creditstream.kafka.offsets import Progress
from creditstream.order.finish import Finisher
from creditstream.order.flight import Flight
from creditstream.order.policy import Policy
from creditstream.order.reception import Reception
from creditstream.order.record import Record
from creditstream.order.scoring import Scoring
from creditstream.order.terms import Terms
from schemas.assessment import Assessment
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import Row, encode_status
from tests.simulation.put_in import put_in


def ack_out_of_order() -> None:
    """Faust's issue 606: what is committed follows the newest finished record."""

    def finish(self: Progress, offset: int) -> None:
        self.position = max(self.position, offset + 1)

    put_in(Progress, "finish", finish)


def mark_before_the_effects() -> None:
    """`seen` is written before the status is published."""
    publish = Finisher._publish

    async def mark_first(self: Finisher, batch: list[Any]) -> Any:
        await self._mark([settled for settled in batch if settled.complete])
        return await publish(self, batch)

    put_in(Finisher, "_publish", mark_first)


def mark_before_what_follows() -> None:
    """`seen` is written when the status is published, before the dead letter or the next attempt is delivered."""
    publish = Finisher._publish

    async def mark_next(self: Finisher, batch: list[Any]) -> Any:
        published = await publish(self, batch)
        await self._mark([settled for settled in published if settled.complete])
        return published

    put_in(Finisher, "_publish", mark_next)


def status_from_memory() -> None:
    """What is published is what this worker decided, at its own time, not the row that PostgreSQL committed."""

    def from_memory(row: Row) -> bytes:
        return encode_status(msgspec.structs.replace(row, version=1))

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

    def done(self: Reception, flight: Flight, record: Record, fingerprint: bytes) -> None:
        record.acknowledge()

    put_in(Reception, "_join", done)


def fausts_own_consumer() -> None:
    """Faust's way to acknowledge and to commit in place of ours: as far as it was read, without what is in flight."""

    def admitted(self: Progress, offset: int) -> Any:
        verdict = admit(self, offset)
        self.position = max(self.position, self.expected)
        return verdict

    admit = Progress.admit
    put_in(Progress, "admit", admitted)


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
        if flight.order.product != "microcredit":
            await score(self, flight)
            return
        best = Assessment(score=1000, model_version="simulated-1")
        flight.decision, flight.outcome = decide(flight.order, best, self._policy), "decided"

    put_in(Scoring, "_score", unasked)
