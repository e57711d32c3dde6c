"""Watches a run from outside: lag by partition, and how long after a fault every partition moves again."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

_POLL = 0.5
_ANSWERS_WITHIN = 5.0
_TOPICS = ("orders", "orders-by-id", "orders-retry")


@dataclass
class Recovery:
    """One fault whose end is awaited. `base`: what was done at the first look after it."""

    kind: str
    since: float
    base: dict[TopicPartition, int] | None = None


@dataclass
class Monitor:
    """`done`: records of `orders` behind the group's committed offsets; `lag`: records that are not done, by topic."""

    brokers: str
    group: str
    partitions: int
    done: int = 0
    lag: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOPICS, 0))
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    looked: float = 0.0
    stuck: dict[str, int] = field(default_factory=dict)
    _pending: list[Recovery] = field(default_factory=list)
    _committed: dict[TopicPartition, int] = field(default_factory=dict)

    def fault_over(self, kind: str) -> None:
        """From now until each partition of `orders` has moved: that fault's recovery time."""
        self._pending.append(Recovery(kind, time.monotonic()))

    async def run(self) -> None:
        """Until cancelled; clients that a broker's restart has confused are made anew."""
        while True:
            with contextlib.suppress(KafkaError, OSError, TimeoutError, KeyError, IndexError, AssertionError):
                await self._watch()
            await asyncio.sleep(_POLL)

    async def _watch(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers, request_timeout_ms=int(_ANSWERS_WITHIN * 1_000))
        consumer = AIOKafkaConsumer(bootstrap_servers=self.brokers, enable_auto_commit=False)
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                await admin.start()
                await consumer.start()
            while True:
                async with asyncio.timeout(_ANSWERS_WITHIN):
                    await self._look(admin, consumer)
                await asyncio.sleep(_POLL)
        finally:
            for client in (admin.close(), consumer.stop()):
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(client, _ANSWERS_WITHIN)

    async def _look(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        places = [TopicPartition(topic, number) for topic in _TOPICS for number in range(self.partitions)]
        began = time.monotonic()
        # In this order: a forward stands on orders-by-id before its offset on orders is committed.
        offsets = await admin.list_consumer_group_offsets(self.group, partitions=places)
        ends = await consumer.end_offsets(places)
        committed = {place: max(0, offsets[place].offset) if place in offsets else 0 for place in places}
        if any(committed[place] < self._committed.get(place, 0) for place in places):
            return  # the group's coordinator has just moved or come back and does not know all of them yet
        self._committed = committed
        lag = dict.fromkeys(_TOPICS, 0)
        for place in places:
            lag[place.topic] += ends[place] - committed[place]
        self.done = sum(offset for place, offset in committed.items() if place.topic == "orders")
        self.stuck = {f"{p.topic}[{p.partition}]": ends[p] - committed[p] for p in places if ends[p] > committed[p]}
        self.lag, self.looked = lag, began
        self._note_recoveries(began, {place: done for place, done in committed.items() if place.topic == "orders"})

    def _note_recoveries(self, began: float, committed: Mapping[TopicPartition, int]) -> None:
        for recovery in list(self._pending):
            if began < recovery.since:
                continue
            if recovery.base is None:
                recovery.base = dict(committed)
            elif all(committed[place] > before for place, before in recovery.base.items()):
                self.recoveries[recovery.kind].append(time.monotonic() - recovery.since)
                self._pending.remove(recovery)
