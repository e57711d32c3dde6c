"""What topics hold, byte for byte, and how far the workers are."""

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from creditstream.config.settings import Settings
from creditstream.kafka.client import open_admin
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, ORDERS_RETRY
from tests.corpus.wire import Batch, Found, batches
from tests.support.kafka import Topics, run

_FETCH = 16 * 1024 * 1024
_WAIT_MS, _LEAST = 100, 1


class Stored(NamedTuple):
    """How the broker keeps a record: with how many others, and packed how."""

    codec: str
    records: int


def ends(topics: Topics, topic: str) -> dict[int, int]:
    """Each partition's next offset."""
    return run(_ends(topics, topics.name(topic)))


async def _ends(topics: Topics, name: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=topics.brokers)
    await consumer.start()
    try:
        wanted = [TopicPartition(name, number) for number in range(topics.partitions)]
        return {where.partition: end for where, end in (await consumer.end_offsets(wanted)).items()}
    finally:
        await consumer.stop()


def read(topics: Topics, topic: str, since: Mapping[int, int] | None = None) -> list[Found]:
    """From those offsets (default: the beginning) to the end as it is now, by partition and offset."""
    first = since or {}
    return [
        record
        for partition, some in run(_fetch(topics, topics.name(topic), first)).items()
        for batch in some
        for record in batch.records(partition)
        if record.offset >= first.get(partition, 0)
    ]


def stored(topics: Topics, topic: str) -> dict[tuple[str, int, int], Stored]:
    """For each place of the topic."""
    name = topics.name(topic)
    return {
        (name, partition, batch.first + number): Stored(batch.codec, batch.spans)
        for partition, some in run(_fetch(topics, name, {})).items()
        for batch in some
        for number in range(batch.spans)
    }


async def _fetch(topics: Topics, name: str, first: Mapping[int, int]) -> dict[int, list[Batch]]:
    found: dict[int, list[Batch]] = {}
    client = AIOKafkaClient(bootstrap_servers=topics.brokers)
    await client.bootstrap()
    try:
        await client.add_topic(name)
        for partition, end in sorted((await _ends(topics, name)).items()):
            node = client.cluster.leader_for_partition(TopicPartition(name, partition))
            offset = max(first.get(partition, 0), await _start(topics, name, partition))
            found[partition] = []
            while offset < end:
                request = FetchRequest(_WAIT_MS, _LEAST, _FETCH, 0, [(name, [(partition, offset, _FETCH)])])
                answer = await client.send(node, request)
                some = list(batches(answer.topics[0][1][0][-1]))
                assert some, f"{name}[{partition}]@{offset}: nothing comes: {answer}"
                found[partition] += some
                offset = some[-1].first + some[-1].spans
    finally:
        await client.close()
    return found


async def _start(topics: Topics, name: str, partition: int) -> int:
    """`forget` removes the beginning of a partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=topics.brokers)
    await consumer.start()
    try:
        where = TopicPartition(name, partition)
        return int((await consumer.beginning_offsets([where]))[where])
    finally:
        await consumer.stop()


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
                where = TopicPartition(name, number)
                done = max(0, committed[where].offset) if where in committed else 0
                if done < end:
                    found[name, number] = (done, end)
    finally:
        await admin.close()
    return found
