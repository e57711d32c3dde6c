"""Has the workers publish rows that were changed behind their backs: only an order's worker may write its status."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options, stop
from creditstream.kafka.topics import ORDER_STATUS, ORDERS_RETRY, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing, Publishes
from schemas.order import Order
from schemas.status import Row, decode_status

#: A worker that has just lost a partition does not publish; the new one is asked again.
_ASK_AGAIN = 10.0


class Watch:
    """Reads what is published on `order-status` since it was opened."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._settings, self._consumer, self._partitions = settings, consumer, partitions

    async def until_published(
        self, publisher: Publishes, rows: Collection[Row], wait: float, advance: Callable[[int], None]
    ) -> set[UUID]:
        """Ask for `rows`, and again for those that do not come. Returns those that did not within `wait` seconds."""
        missing = {row.order_id: row for row in rows}
        deadline, asked = time.monotonic() + wait, 0.0
        while missing and time.monotonic() < deadline:
            if time.monotonic() - asked >= _ASK_AGAIN:
                await self._ask(publisher, missing)
                asked = time.monotonic()
            before = len(missing)
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    _tick_off(missing, record.value)
            advance(before - len(missing))
        return set(missing)

    async def _ask(self, publisher: Publishes, rows: Mapping[UUID, Row]) -> None:
        records: dict[int, list[Outgoing]] = defaultdict(list)
        for row in rows.values():
            records[home_partition(row.order_id, self._partitions)].append(_reminder(row))
        await publisher.publish(topic_name(self._settings, ORDERS_RETRY), records)


@asynccontextmanager
async def watching(settings: Settings, partitions: int) -> AsyncIterator[Watch]:
    """From the topic's present end on."""
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        where = [TopicPartition(topic_name(settings, ORDER_STATUS), number) for number in range(partitions)]
        consumer.assign(where)
        for tp, end in (await consumer.end_offsets(where)).items():
            consumer.seek(tp, end)
        yield Watch(settings, consumer, partitions)
    finally:
        await stop(consumer)


def _tick_off(missing: dict[UUID, Row], value: bytes | None) -> None:
    try:
        record = decode_status(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    row = missing.get(record.order_id)
    if row and record.version >= row.version:
        del missing[record.order_id]


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
