"""A topic on the broker, read by a consumer from its first record to its last."""

from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition


class Record(NamedTuple):
    """What a topic holds."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


async def read_to_end(consumer: AIOKafkaConsumer, topic: str) -> list[Record]:
    """Everything from the beginning to the end as it is now; `consumer` is started and has no other topic."""
    partitions = [TopicPartition(topic, number) for number in await partition_numbers(consumer, topic)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    # Not seek_to_beginning: right after assign() the reset of a new consumer overtakes it (seen).
    for partition, first in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, first)
    found: list[Record] = []
    # The position, not the records, tells the end: compaction and transactions leave holes.
    while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
        for partition, messages in (await consumer.getmany(timeout_ms=200)).items():
            for message in messages:
                if message.offset < ends[partition]:
                    headers = tuple(message.headers)
                    place = (message.partition, message.offset)
                    found.append(Record(*place, message.key, message.value, headers, message.timestamp))
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def partition_numbers(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    """Of a topic that is there, as `consumer` sees it."""
    # A topic that is not assigned is not in the consumer's metadata until it is asked for.
    await consumer._client.add_topic(topic)
    numbers = consumer.partitions_for_topic(topic)
    assert numbers, f"there is no topic {topic}"
    return set(numbers)
