"""Has the workers publish rows that were changed behind their backs: only an order's worker may write its status."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options, stop
from creditstream.kafka.topics import ORDERS_RETRY, SEEN_CHANGELOG, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing, Publishes
from schemas.order import Order
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
                await self._ask(publisher, missing.values())
                asked = time.monotonic()
            before = len(missing)
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.value == FORGOTTEN:
                        missing.pop(record.key, None)
            advance(before - len(missing))
        return {row.order_id for row in missing.values()}

    async def _ask(self, publisher: Publishes, rows: Collection[Row]) -> None:
        records: dict[int, list[Outgoing]] = defaultdict(list)
        for row in rows:
            records[home_partition(row.order_id, self._partitions)].append(_reminder(row))
        await publisher.publish(topic_name(self._settings, ORDERS_RETRY), records)


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


def _reminder(row: Row) -> Outgoing:
    """A turn on `orders-retry` that is due: the worker asks PostgreSQL, finds the order over, and publishes its row."""
    order = Order(
        order_id=row.order_id,
        customer_id=row.customer_id,
        amount=row.amount,
        term_months=row.term_months,
        product=row.product,
        created_at=row.created_at,
    )
    moment = str(int(time.time() * 1000)).encode()
    headers = (("x-attempts", b"1"), ("x-first-failed-at", moment), ("x-next-attempt-at", moment))
    return Outgoing(str(row.order_id).encode(), msgspec.json.encode(order), headers)
