"""From a Faust stream to the pipeline: records are taken when there is room and acknowledged when they are done."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiokafka import ConsumerRecord

from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.stream_queues import waiting_events
from creditstream.kafka.topics import ORDERS_BY_ID, ORDERS_RETRY, topic_name
from creditstream.order.pipeline import Pipeline
from creditstream.order.record import Record
from creditstream.order.unforeseen import OF_A_RECORD
from schemas import headers


class Host(Protocol):
    """The app whose agents feed its pipeline."""

    @property
    def settings(self) -> Settings: ...

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def group(self) -> InOrderConsumer: ...


async def feed(app: Host, stream: Any, room: Callable[[], Awaitable[None]], accept: Callable[[Record], None]) -> None:
    """Hand every record of `stream` to `accept`, without Faust's acknowledgement: the pipeline says when it is done."""
    consumer, believed = app.group, believed_headers(app.settings)
    async for first in stream.noack().events():
        for event in (first, *waiting_events(stream)):
            await room()
            try:
                record = _record(consumer, event, believed)
            except OF_A_RECORD as error:
                app.pipeline.unforeseen(_bare(event), error, "read")
            else:
                if record is not None:
                    accept(record)


def _record(consumer: InOrderConsumer, event: Any, believed: dict[str, frozenset[str]]) -> Record | None:
    """None if positions were taken again since it was delivered: it comes again, to whoever owns the partition now."""
    message = event.message
    progress = consumer.progress.get(message.tp)
    if progress is None or progress is not message.progress:
        return None
    return record_of(event, believed, replayed=message.offset < progress.replay_until)


def believed_headers(settings: Settings) -> dict[str, frozenset[str]]:
    """Topic on the broker -> those of our headers that mean something there; for `record_of`."""
    return {topic_name(settings, ORDERS_BY_ID): headers.HOP, topic_name(settings, ORDERS_RETRY): headers.WAIT}


def record_of(event: Any, believed: dict[str, frozenset[str]], *, replayed: bool) -> Record:
    """The pipeline's record of a Faust event."""
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=-1 if message.timestamp is None else round(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        believed=believed.get(message.topic, frozenset()),
        replayed=replayed,
        acknowledge=event.ack,
    )


def _bare(event: Any) -> Record:
    """Its value alone, for a letter."""
    message = event.message
    place = message.topic, message.partition, message.offset
    return Record(*place, -1, None, message.value, (), frozenset(), replayed=False, acknowledge=event.ack)


def unread(
    record: ConsumerRecord, believed: dict[str, frozenset[str]], done: Callable[[], object], *, replayed: bool = False
) -> Record:
    """The pipeline's record of one that never became a Faust event: for a letter, or read again when it is due."""
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=-1 if record.timestamp is None else record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers or ()),
        believed=believed.get(record.topic, frozenset()),
        replayed=replayed,
        acknowledge=done,
    )
