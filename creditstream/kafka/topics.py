"""Every topic: its name, what keys it has, and how Kafka keeps it."""

from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.client import MAX_REQUEST_BYTES, open_admin

ORDERS = "orders"
ORDERS_BY_ID = "orders-by-id"
ORDER_STATUS = "order-status"
ORDERS_RETRY = "orders-retry"
ORDERS_DEAD_LETTER = "orders-dead-letter"
#: Changelog of the `seen` table.
SEEN_CHANGELOG = "seen-changelog"

_LARGE_RECORDS = {"max.message.bytes": str(MAX_REQUEST_BYTES)}

#: Of the window of `seen`: its changelog is at most so much longer than the window.
_SEGMENTS = 8
#: One day in ms: an older status of an order, and a forgotten customer's id with it, is gone after so long.
_COMPACTED_WITHIN = "86400000"


class Topic(NamedTuple):
    """`name` without the prefix."""

    name: str
    config: dict[str, str]


def all_topics(settings: Settings) -> list[Topic]:
    """All topics, each with as many partitions as `orders` has: Faust's tables need equal counts."""
    retention = str(int(settings.seen_retention * 3_600_000))
    # Kafka removes whole segments, and only closed ones.
    segment = str(int(max(60_000, settings.seen_retention * 3_600_000 / _SEGMENTS)))
    return [
        Topic(ORDERS, {**_LARGE_RECORDS}),
        Topic(ORDERS_BY_ID, {**_LARGE_RECORDS}),
        Topic(ORDER_STATUS, {"cleanup.policy": "compact", "max.compaction.lag.ms": _COMPACTED_WITHIN}),
        Topic(ORDERS_RETRY, {**_LARGE_RECORDS}),
        Topic(ORDERS_DEAD_LETTER, {**_LARGE_RECORDS, "retention.ms": "-1"}),
        Topic(SEEN_CHANGELOG, {"cleanup.policy": "compact,delete", "retention.ms": retention, "segment.ms": segment}),
    ]


def topic_name(settings: Settings, name: str) -> str:
    """The name on the broker."""
    return settings.topic_prefix + name


async def create_topics(settings: Settings) -> int:
    """Create the topics that are missing. Returns the number of partitions that all of them have.

    Raises StartError when Kafka is away, refuses, or holds them with unequal partition counts.
    """
    admin = await open_admin(settings)
    try:
        existing = await _partition_counts(admin, settings)
        partitions = existing.get(topic_name(settings, ORDERS), settings.partitions)
        await _create(admin, settings, partitions, existing)
        unequal = {name: count for name, count in existing.items() if count != partitions}
    finally:
        await admin.close()
    if unequal:
        name, count = next(iter(unequal.items()))
        raise StartError(
            f"topic {name} has {count} partitions and orders has {partitions}: they must be equal "
            "(`faust -A creditstream grow` adds them to all)"
        )
    return partitions


async def _partition_counts(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, int]:
    wanted = {topic_name(settings, topic.name) for topic in all_topics(settings)}
    described = await admin.describe_topics(sorted(wanted & set(await admin.list_topics())))
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _create(admin: AIOKafkaAdminClient, settings: Settings, partitions: int, existing: dict[str, int]) -> None:
    missing = [
        NewTopic(
            topic_name(settings, topic.name),
            num_partitions=partitions,
            replication_factor=settings.kafka_replication_factor,
            topic_configs=topic.config,
        )
        for topic in all_topics(settings)
        if topic_name(settings, topic.name) not in existing
    ]
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, code, *text in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            why = text[0] if text and text[0] else for_code(code).__name__
            raise StartError(f"Kafka does not create topic {name}: {why} (CREDITSTREAM_KAFKA_REPLICATION_FACTOR?)")
