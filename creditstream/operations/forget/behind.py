"""Waits until workers are done with every record that came before a moment: what they judged has its letter by then."""

import asyncio
import time

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka.client import open_admin
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, topic_name

_POLL = 0.2
#: In this order: a forward stands on the second before its offset on the first is committed. What waits on
#: `orders-retry` is judged by PostgreSQL when its time comes, not by what a worker remembers.
_SOURCES = (ORDERS, ORDERS_BY_ID)


async def records_behind(settings: Settings, wait: float) -> int:
    """How many of the records that are there now are not acknowledged, `wait` seconds later at most.

    Raises BrokerUnavailable.
    """
    deadline = time.monotonic() + wait
    admin = await open_admin(settings)
    try:
        return sum([await _until_passed(admin, settings, source, deadline) for source in _SOURCES])
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"offsets of group {settings.group}: {type(error).__name__}") from error
    finally:
        await admin.close()


async def _until_passed(admin: AIOKafkaAdminClient, settings: Settings, source: str, deadline: float) -> int:
    name = topic_name(settings, source)
    topics = await Topics.open(settings, [name])
    await topics.close()
    ends, starts = topics.ends(name), topics.beginnings(name)
    while True:
        offsets = await admin.list_consumer_group_offsets(settings.group, partitions=list(ends))
        # Kafka has none of a partition of which nothing was ever read: it is empty, or its first record is awaited.
        done = {where: max(start, offsets[where].offset if where in offsets else 0) for where, start in starts.items()}
        behind = sum(max(0, end - done[where]) for where, end in ends.items())
        if not behind or time.monotonic() >= deadline:
            return behind
        await asyncio.sleep(_POLL)
