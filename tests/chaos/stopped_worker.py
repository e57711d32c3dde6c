"""A real worker that stops itself, by SIGKILL or SIGSTOP, at a named point of an order's way: at its n-th passing.

`python -m tests.chaos.stopped_worker POINT SIGNAL N worker`: the product knows nothing of it; what is wrapped here are
its own methods, at the arrows of docs/explanation/architecture.md.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import creditstream.order.outbox
from creditstream import app
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.fenced_publisher import StatusPublisher
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.table import TableStore
from creditstream.order.finish import Finisher
from creditstream.order.flight import Flight
from creditstream.order.reception import Reception
from creditstream.risk.client import RiskClient
from creditstream.store.orders import PostgresStore

Reached = Callable[[], None]


def stop_at(passing: int, number: signal.Signals) -> Reached:
    """What to call at the point: ends or freezes this process when it is called for the `passing`-th time."""
    passed = 0

    def reached() -> None:
        nonlocal passed
        passed += 1
        if passed == passing:
            print(f"stopping at passing {passed}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), number)

    return reached


def wrap_async(owner: Any, name: str, *, before: Reached | None = None, after: Reached | None = None) -> None:
    whole = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            before()
        answer = await whole(*args, **kwargs)
        if after:
            after()
        return answer

    setattr(owner, name, wrapped)


def wrap(owner: Any, name: str, *, before: Reached | None = None, after: Reached | None = None) -> None:
    whole = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            before()
        answer = whole(*args, **kwargs)
        if after:
            after()
        return answer

    setattr(owner, name, wrapped)


def publishing(where: str, topic: str, *, before: Reached | None = None, after: Reached | None = None) -> None:
    """Around the awaited delivery to one topic: `where` names who delivers."""
    owner, name_there = _DELIVERY[where]
    whole = getattr(owner, name_there)

    async def wrapped(publisher: Any, name: str, records: Any) -> Any:
        if before and name.endswith(topic):
            before()
        answer = await whole(publisher, name, records)
        if after and name.endswith(topic):
            after()
        return answer

    setattr(owner, name_there, wrapped)


_DELIVERY: dict[str, tuple[Any, str]] = {
    "statuses": (StatusPublisher, "publish"),
    "marks": (Publisher, "publish"),
    "outbox": (creditstream.order.outbox, "until_published"),
}


def following(topic: str, *, before: Reached | None = None, after: Reached | None = None) -> None:
    """Around the delivery of what follows a committed row, when some of it goes to that topic."""
    module: Any = creditstream.order.finish
    whole = module.deliver

    async def wrapped(publisher: Any, parcels: Any) -> None:
        is_there = any(parcel.topic.endswith(topic) for parcel in parcels)
        if before and is_there:
            before()
        await whole(publisher, parcels)
        if after and is_there:
            after()

    module.deliver = wrapped


def acknowledging_for_a_person(before: Reached) -> None:
    """Of an order that has its letter and its mark."""
    owner: Any = Finisher
    whole = owner._acknowledge

    def wrapped(self: Finisher, flight: Flight, *rest: Any) -> None:
        if flight.row is not None and flight.row.waits_for_person:
            before()
        whole(self, flight, *rest)

    owner._acknowledge = wrapped


#: Every arrow of an order's way, in order.
POINTS: dict[str, Callable[[Reached], None]] = {
    "after_decode": lambda stop: wrap(Reception, "_decode", after=stop),
    "after_forward_delivered": lambda stop: publishing("outbox", "orders-by-id", after=stop),
    "after_letter_delivered": lambda stop: publishing("outbox", "orders-dead-letter", after=stop),
    "before_risk_call": lambda stop: wrap_async(RiskClient, "assess", before=stop),
    "after_risk_answer": lambda stop: wrap_async(RiskClient, "assess", after=stop),
    "before_commit": lambda stop: wrap_async(PostgresStore, "commit", before=stop),
    "after_commit": lambda stop: wrap_async(PostgresStore, "commit", after=stop),
    "before_status": lambda stop: publishing("statuses", "order-status", before=stop),
    "after_status_delivered": lambda stop: publishing("statuses", "order-status", after=stop),
    "before_retry": lambda stop: following("orders-retry", before=stop),
    "after_retry_delivered": lambda stop: following("orders-retry", after=stop),
    "before_settled_letter": lambda stop: following("orders-dead-letter", before=stop),
    "after_settled_letter_delivered": lambda stop: following("orders-dead-letter", after=stop),
    "after_mark_delivered": lambda stop: publishing("marks", "seen-changelog", after=stop),
    "after_mark_written": lambda stop: wrap(TableStore, "put", after=stop),
    "before_settled_letter_acknowledge": acknowledging_for_a_person,
    "before_acknowledge": lambda stop: wrap(Finisher, "_acknowledge", before=stop),
    "after_acknowledge": lambda stop: wrap(InOrderConsumer, "ack", after=stop),
    "before_offset_commit": lambda stop: wrap_async(InOrderThread, "_commit", before=stop),
    "after_offset_commit": lambda stop: wrap_async(InOrderThread, "_commit", after=stop),
}


def main() -> None:
    point, number, passing = sys.argv[1], signal.Signals[sys.argv[2]], int(sys.argv[3])
    POINTS[point](stop_at(passing, number))
    sys.argv[1:] = sys.argv[4:]
    app.main()


if __name__ == "__main__":
    main()
