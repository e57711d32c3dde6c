"""Orders that arrived on another partition than their id's, on their home partition now."""

from typing import Any

from creditstream import app
from creditstream.kafka.topics import ORDERS_BY_ID
from creditstream.worker.intake import feed


@app.agent(app.raw_topic(ORDERS_BY_ID, source=True), name="orders-by-id")
async def orders_by_id(stream: Any) -> None:
    """The same way as `orders`, without the hop."""
    await feed(app, stream, app.pipeline.room, app.pipeline.accept)
