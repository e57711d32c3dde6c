"""Whether all that was sent is done: by the group's committed offsets, which only what is done moves."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options, open_admin
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, topic_name

_POLL = 0.2
#: Nothing moved for so long: it is stuck, and waiting longer shows nothing.
_STUCK_AFTER = 60.0

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


class Stuck(Exception):
    """Records are left that nobody finishes."""


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields what to call with the number done. A bar on a terminal, a line at the end elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(f"{title:<10}", total=total)
        yield lambda done: bars.update(task, completed=done)


async def wait_until_settled(settings: Settings, sent: int, *, show: Bar = progress_bar) -> None:
    """Returns when every record on `orders` and `orders-by-id` is done. Raises Stuck."""
    admin = await open_admin(settings)
    consumer = AIOKafkaConsumer(**client_options(settings))
    await consumer.start()
    try:
        with show("deciding", sent) as advance:
            await _wait(settings, admin, consumer, sent, advance)
    finally:
        await consumer.stop()
        await admin.close()


async def _wait(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    consumer: AIOKafkaConsumer,
    sent: int,
    advance: Callable[[int], None],
) -> None:
    loop = asyncio.get_running_loop()
    last, moved = -1, loop.time()
    while True:
        try:
            # In this order: a forward is on orders-by-id before its offset on orders is committed.
            done, left = await _lag(settings, admin, consumer, ORDERS)
            forwarded, left_forwarded = await _lag(settings, admin, consumer, ORDERS_BY_ID)
        except KafkaError as error:
            # A group that nobody has joined yet has no coordinator; after a broker's end it has none for a moment.
            if not error.retriable or loop.time() - moved > _STUCK_AFTER:
                raise
            await asyncio.sleep(_POLL)
            continue
        advance(max(0, min(done, sent) - left_forwarded))
        if done >= sent and left == left_forwarded == 0:
            return
        if done + forwarded != last:
            last, moved = done + forwarded, loop.time()
        elif loop.time() - moved > _STUCK_AFTER:
            raise Stuck(f"{left + left_forwarded} records are not done, and nothing moved for {_STUCK_AFTER:.0f} s")
        await asyncio.sleep(_POLL)


async def _lag(
    settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, name: str
) -> tuple[int, int]:
    """How many of the topic's records are done, and how many are not."""
    topic = topic_name(settings, name)
    described = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, each["partition"]) for each in described[0]["partitions"]]
    committed = await admin.list_consumer_group_offsets(settings.group, partitions=partitions)
    ends = await consumer.end_offsets(partitions)
    done = sum(max(0, committed[partition].offset) for partition in partitions if partition in committed)
    return done, sum(ends.values()) - done
