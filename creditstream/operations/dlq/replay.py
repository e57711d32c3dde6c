"""PURE: where a dead letter goes when it is sent again, and with which headers."""

from datetime import datetime
from typing import NamedTuple

from creditstream.operations.dead_letter import REPLAY_OF, Letter
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from creditstream.order.reopening import Reopens
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE
from schemas.headers import as_sent, producers_own

#: Letters of orders that have a row, under review: `seen` knows them, so that only `orders-retry` asks again. Until 0.1
#: `risk_unavailable` was the reason of letters too.
SCORED_AGAIN = frozenset({*FOR_A_PERSON, RISK_UNAVAILABLE})
_TRACE = ("x-replayed-by", "x-replayed-at", REPLAY_OF)


class Destinations(NamedTuple):
    """The topics' names on the broker, and how many partitions each has."""

    orders: str
    orders_retry: str
    partitions: int


class Sending(NamedTuple):
    """One record to publish."""

    topic: str
    partition: int
    record: Outgoing


def send_again(letter: Letter, to: Destinations, by: str, now: datetime) -> Sending:
    """The original bytes and key, with a trace of who, when and what.

    An order that has a row goes to `orders-retry`, due at once, with its origin and with its turns and age counted
    anew; there PostgreSQL is asked first, so that only an order is asked about again whose row still is as the letter
    tells (ADR 0018). All else is a new record on
    `orders`, judged as any other: headers there claim nothing, and its letter, if it gets one again, is its own.
    """
    own = tuple((name, value) for name, value in letter.headers if name not in _TRACE)
    headers = producers_own(own, frozenset()) + _trace(letter, by, now)
    order_id = letter.order_id if letter.reason in SCORED_AGAIN else None
    if order_id is None:
        partition = letter.original_partition % to.partitions
        return Sending(to.orders, partition, Outgoing(letter.key, letter.value, as_sent(headers)))
    waiting = Outgoing(str(order_id).encode(), letter.value, headers + _waiting(letter, now))
    return Sending(to.orders_retry, home_partition(order_id, to.partitions), waiting)


def _trace(letter: Letter, by: str, now: datetime) -> tuple[tuple[str, bytes], ...]:
    return tuple(zip(_TRACE, (text.encode() for text in (by, now.isoformat(), letter.root)), strict=True))


def _waiting(letter: Letter, now: datetime) -> tuple[tuple[str, bytes], ...]:
    """As `Record.waiting`: the first turn, first failed now."""
    moment = str(int(now.timestamp() * 1000))
    ours = {
        "x-original-topic": letter.topic,
        "x-original-partition": str(letter.original_partition),
        "x-original-offset": str(letter.original_offset),
        "x-original-timestamp": str(letter.original_timestamp_ms),
        "x-attempts": "1",
        "x-first-failed-at": moment,
        "x-next-attempt-at": moment,
    }
    key = (("x-original-key", letter.key),) if letter.key is not None else ()
    reopens = (Reopens(letter.reason, letter.row_version).header,) if letter.reason in FOR_A_PERSON else ()
    return tuple((name, text.encode()) for name, text in ours.items()) + key + reopens
