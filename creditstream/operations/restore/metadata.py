"""What is not published of an order, from the order as it was sent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from rich.progress import Progress

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDERS, ORDERS_RETRY, topic_name
from creditstream.operations.dead_letter import Fetched
from creditstream.store.maintenance import Maintenance
from schemas.order import InvalidOrder, Order, decode_order

_ALWAYS = datetime.max.replace(tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


async def bring_back_metadata(settings: Settings, session: Maintenance, bars: Progress) -> None:
    """Of the orders that are restored, as far as Kafka still has their records. Raises as `Topics` does."""
    names = [topic_name(settings, each) for each in (ORDERS, ORDERS_RETRY)]
    topics = await Topics.open(settings, names)
    try:
        for name in names:
            bar = bars.add_task(name, total=topics.size(name))
            async for records in topics.read(name):
                batch = orders_in(records, settings.order_max_bytes)
                if batch:
                    await session.value("restore_metadata", {"batch": batch})
                bars.advance(bar, len(records))
    finally:
        await topics.close()


def orders_in(records: Iterable[Fetched], max_bytes: int) -> str:
    """PURE: of each order the first record, as the statement reads them; empty if there is none with metadata."""
    found: dict[tuple[UUID, bytes], Order] = {}
    for record in records:
        try:
            order = decode_order(record.value, latest=_ALWAYS, max_bytes=max_bytes)
        except InvalidOrder:
            continue
        found.setdefault((order.order_id, order.fingerprint()), order)
    batch = [
        {"order_id": order_id, "fingerprint": fingerprint, "metadata": order.metadata}
        for (order_id, fingerprint), order in found.items()
    ]
    return _encode(batch).decode() if batch else ""
