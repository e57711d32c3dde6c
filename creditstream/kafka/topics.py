"""Every topic: its name, what keys it has, and how Kafka keeps it."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka.client import MAX_REQUEST_BYTES, open_admin

ORDERS = "orders"
ORDERS_BY_ID = "orders-by-id"
ORDER_STATUS = "order-status"
ORDERS_RETRY = "orders-retry"
ORDERS_DEAD_LETTER = "orders-dead-letter"
#: Changelog of the `seen` table.
SEEN_CHANGELOG = "seen-changelog"

#: Seconds between two looks at whether all topics are known, and how many looks.
_POLL, _POLLS = 0.1, 100
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
    """Create the topics that are missing. Returns the number of partitions that all of them have, as Kafka tells it.

    Raises StartError when Kafka is away, refuses, or holds them with unequal partition counts; BrokerUnavailable when
    it does not come to know them.
    """
    admin = await open_admin(settings)
    try:
        counts = await partition_counts(admin, _names(settings))
        if len(counts) < len(_names(settings)):
            await _create(admin, settings, counts.get(topic_name(settings, ORDERS), settings.partitions), counts)
            counts = await _all_known(admin, settings)
    finally:
        await admin.close()
    partitions = counts[topic_name(settings, ORDERS)]
    unequal = {name: count for name, count in counts.items() if count != partitions}
    if unequal:
        name, count = next(iter(unequal.items()))
        raise StartError(
            f"topic {name} has {count} partitions and orders has {partitions}: they must be equal "
            "(`faust -A creditstream grow` adds them to all)"
        )
    return partitions


async def partition_counts(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """Of those topics that exist. A broker that has just come back may know a topic and not yet its partitions: a home
    partition must not be computed from that. Raises BrokerUnavailable then.
    """
    described = await admin.describe_topics(sorted(set(names) & set(await admin.list_topics())))
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    for name, count in counts.items():
        if not count:
            raise BrokerUnavailable(f"Kafka does not know yet how many partitions {name} has")
    return counts


def _names(settings: Settings) -> list[str]:
    return [topic_name(settings, topic.name) for topic in all_topics(settings)]


async def _all_known(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, int]:
    """What was created, now or long ago, the brokers may learn of a moment later."""
    names = _names(settings)
    for _ in range(_POLLS):
        counts = await partition_counts(admin, names)
        if len(counts) == len(names):
            return counts
        await asyncio.sleep(_POLL)
    missing = next(name for name in names if name not in counts)
    raise BrokerUnavailable(f"Kafka does not come to know topic {missing}")


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
    answer = await admin.create_topics(missing)
    for name, code, *text in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            why = text[0] if text and text[0] else for_code(code).__name__
            raise StartError(f"Kafka does not create topic {name}: {why} (CREDITSTREAM_KAFKA_REPLICATION_FACTOR?)")
