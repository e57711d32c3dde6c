"""From a Faust stream to the pipeline: records are taken when there is room and acknowledged when they are done."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from creditstream.flight import Record
from creditstream.topics import ORDERS, topic_name
from creditstream.transport import InOrderConsumer, waiting_events

if TYPE_CHECKING:
    from creditstream.app import CreditApp


async def feed(
    app: "CreditApp", stream: Any, room: Callable[[], Awaitable[None]], accept: Callable[[Record], None]
) -> None:
    """Hand every record of `stream` to `accept`, without Faust's acknowledgement: the pipeline says when it is done."""
    async for first in stream.noack().events():
        for event in (first, *waiting_events(stream)):
            await room()
            record = _record(app, event)
            if record is not None:
                accept(record)


def _record(app: "CreditApp", event: Any) -> Record | None:
    """None if the record's generation is over: it comes again, to whoever owns the partition now."""
    message = event.message
    progress = cast(InOrderConsumer, app.consumer).progress.get(message.tp)
    if progress is None or progress.generation != message.generation_id:
        return None
    return record_of(app, event, replayed=message.offset < progress.replay_until)


def record_of(app: "CreditApp", event: Any, *, replayed: bool) -> Record:
    """The pipeline's record of a Faust event."""
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        internal=message.topic != topic_name(app.settings, ORDERS),
        replayed=replayed,
        acknowledge=event.ack,
    )
