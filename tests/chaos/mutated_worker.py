"""A worker with one known fault put in: the suite must go red (docs/explanation/guarantees.md).

`python -m tests.chaos.mutated_worker FAULT [POINT SIGNAL N] worker`: with a point, it also stops itself there.
"""

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Transport

import creditstream.order.finish
import creditstream.order.reception
import creditstream.worker.intake
from creditstream import app
from creditstream.kafka.offsets import Progress
from creditstream.order.finish import Finisher
from creditstream.order.flight import Flight
from creditstream.order.flights import Flights
from creditstream.order.reception import Reception
from creditstream.order.record import Record
from creditstream.worker.app import CreditApp
from schemas.status import Row, encode_status
from tests.chaos.stopped_worker import POINTS, stop_at


def put_in(owner: Any, name: str, fault: Any) -> None:
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

    async def mark_first(self: Finisher, batch: list[Any]) -> list[Any]:
        await self._mark([settled for settled in batch if settled.complete])
        return await publish(self, batch)

    put_in(Finisher, "_publish", mark_first)


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


def fausts_own_consumer() -> None:
    """Faust's consumer class in place of ours; the rest as it is."""
    put_in(CreditApp, "_new_transport", lambda self: Transport(self.conf.broker_consumer, self))
    put_in(
        CreditApp,
        "group",
        SimpleNamespace(standings=dict, open_transactions=dict, lease_holds=lambda: True, progress={}),
    )

    def taken(_consumer: object, event: Any, believed: dict[str, frozenset[str]]) -> Record:
        return creditstream.worker.intake.record_of(event, believed, replayed=True)

    put_in(creditstream.worker.intake, "_record", taken)

    async def all_are_ours(*_: Any, **__: Any) -> None:
        app.runtime.own(frozenset(range(app.settings.partitions)))
        print("at work on partitions of Faust's own consumer", file=sys.stderr, flush=True)

    app.on_rebalance_complete.connect(all_are_ours)


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "ack_out_of_order": ack_out_of_order,
    "mark_before_the_effects": mark_before_the_effects,
    "status_from_memory": status_from_memory,
    "no_home_partition": no_home_partition,
    "fausts_own_consumer": fausts_own_consumer,
    "redelivery_is_a_duplicate": redelivery_is_a_duplicate,
}


#: What the worker says after each turn of the timer that commits offsets.
COMMIT_TURN = "offsets were committed as far as they may be"


def tell_commits() -> None:
    """Not a fault: a scenario that kills the worker must know that its offsets were committed before."""
    commit = Consumer.commit

    async def told(self: Consumer, *args: Any, **kwargs: Any) -> bool:
        done = await commit(self, *args, **kwargs)
        print(COMMIT_TURN, file=sys.stderr, flush=True)
        return done

    put_in(Consumer, "commit", told)


def main() -> None:
    FAULTS[sys.argv[1]]()
    tell_commits()
    rest = sys.argv[2:]
    if len(rest) > 1:
        point, number, passing, *rest = rest
        POINTS[point](stop_at(int(passing), signal.Signals[number]))
    sys.argv[1:] = rest
    app.main()


if __name__ == "__main__":
    main()
