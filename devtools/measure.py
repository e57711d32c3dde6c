"""How long orders took from the record that Kafka took to the row that PostgreSQL committed."""

import statistics
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, topic_name
from schemas.order import InvalidOrder, decode_order
from schemas.status import decode_status

#: What is an order was judged by the worker; here only ids are wanted.
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Latencies(NamedTuple):
    """Milliseconds from an order's first record to the commit of its decision; 0 when there are none."""

    orders: int
    p50_ms: float
    p99_ms: float


async def measure_latencies(settings: Settings) -> Latencies:
    """From the topics: when each id was first produced (record time), when its last status was committed."""
    orders, statuses = topic_name(settings, ORDERS), topic_name(settings, ORDER_STATUS)
    topics = await Topics.open(settings, [orders, statuses])
    produced: dict[UUID, int] = {}
    decided: dict[UUID, float] = {}
    try:
        async for records in topics.read(orders):
            for record in records:
                _note_produced(produced, record.value, record.timestamp, settings)
        async for records in topics.read(statuses):
            for record in records:
                status = decode_status(record.value)
                if status.status != "under_review":
                    decided[status.order_id] = status.updated_at.timestamp() * 1000
    finally:
        await topics.close()
    return _summary([moment - produced[order_id] for order_id, moment in decided.items() if order_id in produced])


def _note_produced(produced: dict[UUID, int], value: bytes | None, timestamp: int, settings: Settings) -> None:
    try:
        order = decode_order(value, latest=_FAR, max_bytes=settings.order_max_bytes)
    except InvalidOrder:
        return
    produced[order.order_id] = min(timestamp, produced.get(order.order_id, timestamp))


def _summary(latencies: list[float]) -> Latencies:
    if len(latencies) < 2:
        only = latencies[0] if latencies else 0.0
        return Latencies(len(latencies), round(only, 1), round(only, 1))
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return Latencies(len(latencies), round(cuts[49], 1), round(cuts[98], 1))
