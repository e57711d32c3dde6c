"""Orders that wait for the risk API: each goes on when its time has come."""

from typing import Any

from creditstream import app
from creditstream.kafka.topics import ORDERS_RETRY
from creditstream.worker.intake import feed


@app.agent(app.raw_topic(ORDERS_RETRY, source=True), name="orders-retry")
async def retries(stream: Any) -> None:
    """Their offsets are done when they are decided, parked again or dead letters."""
    await feed(app, stream, app.pipeline.retry_room, app.pipeline.accept_retry)
