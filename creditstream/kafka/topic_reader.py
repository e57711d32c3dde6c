"""Reads topics from their first record, or from any, to the end that they had when they were looked at."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka.client import client_options, open_admin, stop
from creditstream.kafka.topics import partition_counts

#: A broker that gives nothing for this long, although there is more, has a fault.
_STALLED_AFTER = 30.0

Records = Sequence[Any]
Offsets = dict[TopicPartition, int]


class Bounds(NamedTuple):
    """Where partitions begin and end."""

    starts: Offsets
    ends: Offsets


class Topics:
    """Reads whole topics, outside any consumer group. Ends are fixed when it opens, or by `look_again`."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, within: Bounds) -> None:
        self._settings, self._consumer = settings, consumer
        self._starts, self._ends = within

    @classmethod
    async def open(
        cls, settings: Settings, names: Sequence[str], within: Bounds | None = None, *, last: int | None = None
    ) -> "Topics":
        """`within`: bounds that another reader has fixed. `last`: only so many of each partition's last offsets.

        Raises StartError when a topic is missing, BrokerUnavailable when Kafka does not answer.
        """
        consumer = _consumer(settings)
        topics = cls(settings, consumer, within or Bounds({}, {}))
        try:
            await consumer.start()
            if not within:
                await topics._fix_ends(names, last)
        except BaseException as error:
            await stop(consumer)
            if isinstance(error, (KafkaError, OSError)):
                raise BrokerUnavailable(f"{settings.kafka_brokers}: {type(error).__name__}") from error
            raise
        return topics

    async def close(self) -> None:
        await stop(self._consumer)

    async def look_again(self) -> Bounds:
        """The bounds as they are now, of the partitions that there were. Raises BrokerUnavailable."""
        where = list(self._ends)
        try:
            self._starts = await self._consumer.beginning_offsets(where)
            self._ends = await self._consumer.end_offsets(where)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{self._settings.kafka_brokers}: {type(error).__name__}") from error
        return self.bounds

    @property
    def bounds(self) -> Bounds:
        """Of all topics that are open."""
        return Bounds(dict(self._starts), dict(self._ends))

    async def _fix_ends(self, names: Sequence[str], last: int | None) -> None:
        for name, partitions in (await partitions_of(self._settings, names)).items():
            where = [TopicPartition(name, number) for number in range(partitions)]
            self._starts |= await self._consumer.beginning_offsets(where)
            self._ends |= await self._consumer.end_offsets(where)
        if last is not None:
            self._starts = {tp: max(start, self._ends[tp] - last) for tp, start in self._starts.items()}

    def size(self, name: str) -> int:
        """An upper bound on how many records will be read."""
        return sum(end - self._starts[where] for where, end in self._ends.items() if where.topic == name)

    def ends(self, name: str) -> Offsets:
        """Where each of the topic's partitions ended when it was opened."""
        return {where: end for where, end in self._ends.items() if where.topic == name}

    def beginnings(self, name: str) -> Offsets:
        """Where each of the topic's partitions began when it was opened."""
        return {where: start for where, start in self._starts.items() if where.topic == name}

    def partitions(self, name: str) -> int:
        """How many the topic has."""
        return sum(where.topic == name for where in self._ends)

    async def read(self, name: str, since: Mapping[TopicPartition, int] | None = None) -> AsyncIterator[Records]:
        """All records of the topic, by the batch, in order within each partition. Raises BrokerUnavailable.

        `since`: only of these partitions, and each from this offset on.
        """
        starts = {where: start for where, start in self._starts.items() if where.topic == name}
        if since is not None:
            starts = {where: max(start, since[where]) for where, start in starts.items() if where in since}
        open_ends = {where: self._ends[where] for where, start in starts.items() if self._ends[where] > start}
        while open_ends:
            self._consumer.assign(list(open_ends))
            for where in open_ends:
                self._consumer.seek(where, starts[where])
            async for records in self._drain(open_ends):
                yield records

    async def _drain(self, open_ends: dict[TopicPartition, int]) -> AsyncIterator[Records]:
        """Until all ends are reached; removes each partition from `open_ends` when it is."""
        loop = asyncio.get_running_loop()
        moved = loop.time()
        while open_ends:
            for where, records in (await self._fetched(open_ends)).items():
                moved = loop.time()
                yield [record for record in records if record.offset < self._ends[where]]
            for where in list(open_ends):
                if await self._consumer.position(where) >= open_ends[where]:
                    del open_ends[where]
            if loop.time() - moved > _STALLED_AFTER:
                raise BrokerUnavailable(f"{next(iter(open_ends)).topic}: nothing came for {_STALLED_AFTER:.0f} s")

    async def _fetched(self, open_ends: dict[TopicPartition, int]) -> dict[TopicPartition, Records]:
        try:
            found: dict[TopicPartition, Records] = await self._consumer.getmany(timeout_ms=1_000, max_records=2_000)
        except KafkaError as error:
            raise BrokerUnavailable(f"{next(iter(open_ends)).topic}: {type(error).__name__}: {error}") from error
        return found


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        isolation_level="read_committed",  # what a producer aborted never existed
        auto_offset_reset="earliest",  # records that Kafka removes while others are read are passed over
        # At a topic's end the broker holds a fetch for so long, and every other question waits behind it.
        fetch_max_wait_ms=20,
    )


async def partitions_of(settings: Settings, names: Sequence[str]) -> dict[str, int]:
    """How many each topic has. Raises StartError: one is missing.

    Asked of the cluster: a consumer knows only the topics that it reads, and would call the others empty.
    """
    admin = await open_admin(settings)
    try:
        counts = await partition_counts(admin, names)
    finally:
        await admin.close()
    for name in names:
        if name not in counts:
            raise StartError(f"topic {name} does not exist (CREDITSTREAM_TOPIC_PREFIX?)")
    return counts
