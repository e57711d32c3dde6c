"""Has an order's worker publish its row again: nobody else may write its status."""

import time
from collections import defaultdict
from collections.abc import Collection

import msgspec

from creditstream.config.settings import Settings
from creditstream.kafka.topics import ORDERS_RETRY, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing, Publishes
from schemas.order import Order
from schemas.status import Row


async def ask_for(settings: Settings, publisher: Publishes, rows: Collection[Row], partitions: int) -> None:
    """Raises BrokerUnavailable. `partitions`: of each topic."""
    records: dict[int, list[Outgoing]] = defaultdict(list)
    for row in rows:
        records[home_partition(row.order_id, partitions)].append(_reminder(row))
    await publisher.publish(topic_name(settings, ORDERS_RETRY), records)


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
