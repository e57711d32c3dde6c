"""Records that only travel on: forwards and dead letters. Delivery is awaited before their origin is done."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from creditstream.errors import BrokerUnavailable
from creditstream.ports import Outgoing, Publishes

log = logging.getLogger(__name__)
_BACKOFF = 0.5


class Parcel(NamedTuple):
    """A record to hand on, and what to do once its delivery is certain."""

    topic: str
    partition: int
    record: Outgoing
    delivered: Callable[[], object]


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


async def deliver(publisher: Publishes, parcels: list[Parcel]) -> None:
    """Publish `parcels`, however long Kafka is away, then tell each that it is delivered."""
    by_topic: dict[str, dict[int, list[Outgoing]]] = defaultdict(lambda: defaultdict(list))
    for topic, partition, record, _ in parcels:
        by_topic[topic][partition].append(record)
    for topic, records in by_topic.items():
        await until_published(publisher, topic, records)
    for parcel in parcels:
        parcel.delivered()


async def until_published(publisher: Publishes, topic: str, records: dict[int, list[Outgoing]]) -> dict[int, int]:
    """Each partition's last offset. Ends only with delivery: nothing may be acknowledged without it."""
    while True:
        try:
            return await publisher.publish(topic, records)
        except BrokerUnavailable as error:
            log.warning("Kafka did not take records, trying again in %.1f s: %s", _BACKOFF, error)
            await asyncio.sleep(_BACKOFF)
