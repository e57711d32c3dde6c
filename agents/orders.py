"""New orders, from any producer, on any partition."""

from typing import Any

from creditstream import app
from creditstream.kafka.topics import ORDERS
from creditstream.worker.intake import feed


@app.agent(app.raw_topic(ORDERS, source=True), name="orders")
async def orders(stream: Any) -> None:
    """The first steps of docs/explanation/walk.md, or a forward to the order's home partition."""
    await feed(app, stream, app.pipeline.room, app.pipeline.accept)
