"""Records that only travel on: forwards and dead letters. Delivery is awaited before their origin is done."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from creditstream.errors import BrokerUnavailable, Unsendable
from creditstream.order.ports import Outgoing, Publishes

log = logging.getLogger(__name__)
_BACKOFF = 0.5


class Parcel(NamedTuple):
    """A record to hand on, and what to do once its delivery is certain. `otherwise`: what goes in its place if Kafka
    will never take it; without one, it is tried again until Kafka's settings are other ones."""

    topic: str
    partition: int
    record: Outgoing
    delivered: Callable[[], object]
    otherwise: "Callable[[], Parcel] | None" = None


class Outbox:
    """Hands on parcels by the batch: one flush at a time, the next as soon as the last is done."""

    def __init__(self, publisher: Publishes) -> None:
        self._publisher = publisher
        self._waiting: list[Parcel] = []
        self._wake = asyncio.Event()
        self.unsent = 0

    def add(self, parcel: Parcel) -> None:
        self._waiting.append(parcel)
        self.unsent += 1
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            await self.run_once()

    async def run_once(self) -> None:
        """Publish all that waits; on failure try the same again until it is delivered."""
        self._wake.clear()
        parcels, self._waiting = self._waiting, []
        await deliver(self._publisher, parcels)
        self.unsent -= len(parcels)


async def deliver(publisher: Publishes, parcels: Sequence[Parcel]) -> None:
    """Publish `parcels`, however long Kafka is away, then tell each that it is delivered."""
    by_topic: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        by_topic[parcel.topic].append(parcel)
    for topic, group in by_topic.items():
        await _hand_on(publisher, topic, group)
    for parcel in parcels:
        parcel.delivered()


async def _hand_on(publisher: Publishes, topic: str, parcels: Sequence[Parcel]) -> None:
    """Halved until the one that Kafka will never take is alone."""
    if len(parcels) == 1:
        await _hand_on_alone(publisher, parcels[0])
        return
    records: dict[int, list[Outgoing]] = defaultdict(list)
    for parcel in parcels:
        records[parcel.partition].append(parcel.record)
    try:
        await until_published(publisher, topic, records)
    except Unsendable:
        middle = len(parcels) // 2
        await _hand_on(publisher, topic, parcels[:middle])
        await _hand_on(publisher, topic, parcels[middle:])


async def _hand_on_alone(publisher: Publishes, parcel: Parcel) -> None:
    """It, or what goes in its place; while the topic takes none of that, all again from the beginning."""
    first = parcel
    while True:
        try:
            await until_published(publisher, parcel.topic, {parcel.partition: [parcel.record]})
        except Unsendable as error:
            log.warning("Kafka will never take a record: %s", error)
        else:
            return
        if parcel.otherwise:
            parcel = parcel.otherwise()
            first = first if first.topic == parcel.topic else parcel
        else:
            await asyncio.sleep(_BACKOFF)
            parcel = first


async def until_published(publisher: Publishes, topic: str, records: dict[int, list[Outgoing]]) -> dict[int, int]:
    """Each partition's last offset. Ends only with delivery: nothing may be acknowledged without it.

    Raises Unsendable.
    """
    while True:
        try:
            return await publisher.publish(topic, records)
        except BrokerUnavailable as error:
            log.warning("Kafka did not take records, trying again in %.1f s: %s", _BACKOFF, error)
            await asyncio.sleep(_BACKOFF)
