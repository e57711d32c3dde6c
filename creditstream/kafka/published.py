"""What was published last must be in PostgreSQL when a worker starts: all of them may have died in the disaster."""

from collections.abc import Collection, Iterable
from datetime import datetime
from heapq import nlargest
from operator import itemgetter
from typing import Any
from uuid import UUID

from aiokafka import TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, topic_name
from creditstream.order.ports import Mark
from schemas.status import Told, told_by

#: Offsets of each partition of `order-status`: some seconds of a busy one, however large the topic is.
_TAIL = 100
#: Of all partitions together: what is lost is always what was committed last.
_NEWEST = 20


async def last_published(settings: Settings, partitions: Collection[int] | None = None) -> list[Mark]:
    """For a worker's start, and for partitions that it is given. Raises BrokerUnavailable or StartError."""
    name = topic_name(settings, ORDER_STATUS)
    topics = await Topics.open(settings, [name], last=_TAIL)
    since = None if partitions is None else {TopicPartition(name, each): 0 for each in partitions}
    try:
        return published_marks([record async for records in topics.read(name, since) for record in records])
    finally:
        await topics.close()


def published_marks(records: Iterable[Any]) -> list[Mark]:
    """PURE: by the last record of each order, those that were written last, and those that were removed last.

    What is none of ours says nothing.
    """
    marks: dict[bytes, Mark] = {}
    for record in records:
        found = told_by(record.key, record.value, record.timestamp)
        if found is not None:
            marks[record.key] = _mark(*found)
    written = ((mark.updated_at, mark) for mark in marks.values() if mark.updated_at is not None)
    removed = ((mark.removed_at, mark) for mark in marks.values() if mark.removed_at is not None)
    return [mark for kind in (written, removed) for _, mark in nlargest(_NEWEST, kind, key=itemgetter(0))]


def _mark(order_id: UUID, told: Told) -> Mark:
    if isinstance(told, datetime):
        return Mark(order_id, removed_at=told)
    return Mark(order_id, told.created_at, told.version, told.updated_at)
