"""From a Faust stream to the pipeline: records are taken only when there is room, and acknowledged when they are done."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from creditstream.flight import Record
from creditstream.transport import InOrderConsumer

if TYPE_CHECKING:
    from creditstream.app import CreditApp


async def feed(
    app: "CreditApp", stream: Any, room: Callable[[], Awaitable[None]], accept: Callable[[Record], None]
) -> None:
    """Hand every record of `stream` to `accept`, without Faust's acknowledgement: the pipeline says when it is done."""
    consumer = cast(InOrderConsumer, app.consumer)
    async for event in stream.noack().events():
        await room()
        record = _record(consumer, event)
        if record is not None:
            accept(record)


def _record(consumer: InOrderConsumer, event: Any) -> Record | None:
    """None if the record's generation is over: it comes again, to whoever owns the partition now."""
    message = event.message
    progress = consumer.progress.get(message.tp)
    if progress is None or progress.generation != message.generation_id:
        return None
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        replayed=message.offset < progress.replay_until,
        acknowledge=event.ack,
    )
