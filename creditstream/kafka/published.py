"""What was published last must be in PostgreSQL when a worker starts: all of them may have died in the disaster."""

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import nlargest
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, topic_name
from creditstream.order.ports import Mark
from schemas.status import decode_status

#: Offsets of each partition of `order-status`: some seconds of a busy one, however large the topic is.
_TAIL = 100
#: Of all partitions together: what is lost is always what was committed last.
_NEWEST = 20


async def last_published(settings: Settings) -> list[Mark]:
    """For the worker's start. Raises BrokerUnavailable or StartError."""
    name = topic_name(settings, ORDER_STATUS)
    topics = await Topics.open(settings, [name], last=_TAIL)
    try:
        return published_marks([record async for records in topics.read(name) for record in records])
    finally:
        await topics.close()


def published_marks(records: Iterable[Any]) -> list[Mark]:
    """PURE: by the last record of each order, those that were written last, and those that were removed last.

    What is none of ours says nothing.
    """
    marks: dict[bytes, Mark] = {}
    for record in records:
        try:
            mark = _mark(record)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
        marks[record.key] = mark
    written = ((mark.updated_at, mark) for mark in marks.values() if mark.updated_at is not None)
    removed = ((mark.removed_at, mark) for mark in marks.values() if mark.removed_at is not None)
    return [mark for kind in (written, removed) for _, mark in nlargest(_NEWEST, kind, key=itemgetter(0))]


def _mark(record: Any) -> Mark:
    if not record.value:
        removed_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return Mark(UUID(record.key.decode()), removed_at=removed_at)
    status = decode_status(record.value)
    return Mark(status.order_id, status.created_at, status.version, status.updated_at)
