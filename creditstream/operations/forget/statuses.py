"""Has the workers publish rows that were changed behind their backs: only an order's worker may write its status."""

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options, stop
from creditstream.kafka.topics import SEEN_CHANGELOG, topic_name
from creditstream.operations.reminders import ask_for
from creditstream.order.ports import Publishes
from schemas.status import FORGOTTEN, Row

#: A worker that has just lost a partition does not publish; the new one is asked again.
_ASK_AGAIN = 10.0


class Watch:
    """Reads the marks that workers set since it was opened: the row's status is delivered before its mark."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._settings, self._consumer, self._partitions = settings, consumer, partitions

    async def until_published(
        self, publisher: Publishes, rows: Collection[Row], wait: float, advance: Callable[[int], None]
    ) -> set[UUID]:
        """Ask for `rows`, and again for those that do not come. Returns those that did not within `wait` seconds."""
        missing = {row.order_id.bytes: row for row in rows}  # by the mark's key
        deadline, asked = time.monotonic() + wait, 0.0
        while missing and time.monotonic() < deadline:
            if time.monotonic() - asked >= _ASK_AGAIN:
                await ask_for(self._settings, publisher, missing.values(), self._partitions)
                asked = time.monotonic()
            before = len(missing)
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.value == FORGOTTEN:
                        missing.pop(record.key, None)
            advance(before - len(missing))
        return {row.order_id for row in missing.values()}


@asynccontextmanager
async def watching(settings: Settings, partitions: int) -> AsyncIterator[Watch]:
    """From the topic's present end on."""
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        where = [TopicPartition(topic_name(settings, SEEN_CHANGELOG), number) for number in range(partitions)]
        consumer.assign(where)
        for tp, end in (await consumer.end_offsets(where)).items():
            consumer.seek(tp, end)
        yield Watch(settings, consumer, partitions)
    finally:
        await stop(consumer)
