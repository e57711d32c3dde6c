"""What topics hold, byte for byte, and how far the workers are; how a topic is set up."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from creditstream.kafka import open_admin
from creditstream.settings import Settings
from creditstream.topics import ORDERS, ORDERS_BY_ID, ORDERS_RETRY
from tests.corpus.shots import CODECS
from tests.support.kafka import Topics, run

_READ_WITHIN = 60.0
_FETCH = 16 * 1024 * 1024
#: Base offset, length of what follows, leader's epoch, version, checksum, attributes, last offset's distance.
_BATCH = struct.Struct(">qiibIhi")
_CODEC, _BEFORE_LENGTH_ENDS = 0x07, 12


class Found(NamedTuple):
    """A record. A header's value may be null."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


class Batch(NamedTuple):
    """As the broker keeps it. `records` by the offsets that it spans."""

    codec: str
    records: int


def ends(topics: Topics, topic: str) -> dict[int, int]:
    """Each partition's next offset."""
    return run(_ends(topics, topics.name(topic)))


def read(topics: Topics, topic: str, since: Mapping[int, int] | None = None) -> list[Found]:
    """From those offsets (default: the beginning) to the end as it is now, by partition and offset."""
    return run(_read(topics, topics.name(topic), since or {}))


async def _ends(topics: Topics, name: str) -> dict[int, int]:
    async with _consumer(topics, name) as (consumer, partitions):
        return {where.partition: end for where, end in (await consumer.end_offsets(partitions)).items()}


async def _read(topics: Topics, name: str, since: Mapping[int, int]) -> list[Found]:
    found = []
    async with _consumer(topics, name) as (consumer, partitions), asyncio.timeout(_READ_WITHIN):
        last = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for where, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(where, since.get(where.partition, first))
        while any([await consumer.position(where) < last[where] for where in partitions]):
            for where, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    Found(each.partition, each.offset, each.key, each.value, tuple(each.headers), each.timestamp)
                    for each in records
                    if each.offset < last[where]
                ]
    return sorted(found, key=lambda each: each[:2])


@asynccontextmanager
async def _consumer(topics: Topics, name: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.brokers, enable_auto_commit=False, max_partition_fetch_bytes=_FETCH
    )
    await consumer.start()
    try:
        yield consumer, [TopicPartition(name, number) for number in range(topics.partitions)]
    finally:
        await consumer.stop()


def batches(topics: Topics, topic: str) -> dict[tuple[str, int, int], Batch]:
    """For each place of the topic, the batch that holds it."""
    return run(_batches(topics, topics.name(topic)))


async def _batches(topics: Topics, name: str) -> dict[tuple[str, int, int], Batch]:
    found: dict[tuple[str, int, int], Batch] = {}
    last = await _ends(topics, name)
    client = AIOKafkaClient(bootstrap_servers=topics.brokers)
    await client.bootstrap()
    try:
        await client.add_topic(name)
        for partition, end in last.items():
            node = client.cluster.leader_for_partition(TopicPartition(name, partition))
            offset = 0
            while offset < end:
                request = FetchRequest(100, 1, _FETCH, 0, [(name, [(partition, offset, _FETCH)])])
                answer = await client.send(node, request)
                for first, batch in _parse(answer.topics[0][1][0][-1]):
                    offset = first + batch.records
                    found |= {(name, partition, each): batch for each in range(first, offset)}
    finally:
        await client.close()
    return found


def _parse(raw: bytes) -> list[tuple[int, Batch]]:
    """The first offset and the batch, for each whole one."""
    found, at = [], 0
    while at + _BATCH.size <= len(raw):
        first, length, _, _, _, attributes, distance = _BATCH.unpack_from(raw, at)
        at += _BEFORE_LENGTH_ENDS + length
        if at <= len(raw):
            found.append((first, Batch(CODECS[attributes & _CODEC], distance + 1)))
    return found


def behind(topics: Topics, settings: Settings) -> dict[tuple[str, int], tuple[int, int]]:
    """Of the group's partitions that are not done: the committed offset and the end."""
    return run(_behind(topics, settings))


async def _behind(topics: Topics, settings: Settings) -> dict[tuple[str, int], tuple[int, int]]:
    admin = await open_admin(settings)
    found = {}
    try:
        for topic in (ORDERS, ORDERS_BY_ID, ORDERS_RETRY):
            name = topics.name(topic)
            wanted = [TopicPartition(name, number) for number in range(topics.partitions)]
            committed = await admin.list_consumer_group_offsets(settings.group, partitions=wanted)
            # After the commits: what they forwarded counts.
            for number, end in (await _ends(topics, name)).items():
                done = max(0, committed[TopicPartition(name, number)].offset) if committed else 0
                if done < end:
                    found[name, number] = (done, end)
    finally:
        await admin.close()
    return found
