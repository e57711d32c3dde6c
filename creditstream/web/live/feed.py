"""Live changes: reads `order-status` while pages are open, and hands every change to all of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options, stop
from creditstream.kafka.topics import ORDER_STATUS, topic_name
from creditstream.web.live.event_stream import PING, Block, event
from creditstream.web.live.open_pages import Page, Pages
from creditstream.web.live.recent import KEPT, Change, Recent
from schemas.status import decode_status

log = logging.getLogger(__name__)
#: Seconds after the last page has gone: who reloads finds the stream still there.
LINGER = 30.0
#: Seconds between two blocks: the first change after a pause goes at once; under load a write to each of 500 pages
#: has its price, which this shares among more changes.
_PACE = 0.25
#: Changes in one block; encoding them holds up the event loop, 2 us each.
_MOST = 1_000
_STATS_EVERY = 2.0
_PING_EVERY = 15.0
_AGAIN = 1.0
#: How long a page that has seen more than this worker waits for it to catch up.
_PATIENCE = 5.0


class Live:
    """Starts to read with the first page and stops some time after the last."""

    def __init__(self, settings: Settings, stats: Callable[[], Awaitable[bytes]], most: Callable[[], int]) -> None:
        """`most`: how many pages may be open, as things stand."""
        self._settings, self._stats = settings, stats
        self.pages = Pages(most)
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: asyncio.TimerHandle | None = None
        self._is_closed = False

    @asynccontextmanager
    async def page(self, page: Page, token: str | None) -> AsyncIterator[None]:
        """Inside, the page gets everything."""
        self._start()
        try:
            await self.pages.join(page, token, _PATIENCE)
            yield
        finally:
            self.pages.leave(page)
            if not len(self.pages) and not self._is_closed:
                self._idle = asyncio.get_running_loop().call_later(LINGER, self._stop_if_idle)

    def _start(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if not self._tasks and not self._is_closed:
            loops = (self._read_for_ever(), self._tell_stats(), self._ping())
            self._tasks = [asyncio.create_task(loop) for loop in loops]

    def _stop_if_idle(self) -> None:
        if not len(self.pages):
            self._cancel()

    def _cancel(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self.pages.close()
        return tasks

    async def close(self) -> None:
        """The pages' streams end: each comes back to whoever serves it next."""
        self._is_closed = True
        if self._idle:
            self._idle.cancel()
        self.pages.end()
        await asyncio.gather(*self._cancel(), return_exceptions=True)

    # -- what pages get

    async def _read_for_ever(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                log.warning("live changes: Kafka is away, trying again: %s", type(error).__name__)
                self.pages.close()  # they come back and go on from where they stopped, which the next reading may not
                await asyncio.sleep(_AGAIN)
            except Exception as error:
                log.exception("live changes: failed, trying again", exc_info=error)
                self.pages.close()
                await asyncio.sleep(_AGAIN)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # Fewer and larger fetches under load; without load a change waits so long at most.
            fetch_min_bytes=64 * 1024,
            fetch_max_wait_ms=50,
        )
        try:
            await consumer.start()
            ends = await self._place(consumer)
            await self._follow(consumer, ends)
        finally:
            await stop(consumer)

    async def _place(self, consumer: AIOKafkaConsumer) -> dict[int, int]:
        """Start some changes back, so that pages that come from another worker can go on. Returns the ends."""
        topic = topic_name(self._settings, ORDER_STATUS)
        await consumer._client.add_topic(topic)  # unassigned topics are not in a consumer's metadata until asked for
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            raise KafkaError(f"no topic {topic}")
        consumer.assign(partitions)
        firsts = await consumer.beginning_offsets(partitions)
        ends: dict[Any, int] = await consumer.end_offsets(partitions)
        back = KEPT // len(partitions) // 2
        for partition in partitions:
            consumer.seek(partition, max(firsts[partition], ends[partition] - back))
        return {partition.partition: end for partition, end in ends.items()}

    async def _follow(self, consumer: AIOKafkaConsumer, ends: dict[int, int]) -> None:
        positions = {tp.partition: await consumer.position(tp) for tp in consumer.assignment()}
        recent = Recent([positions[number] for number in range(len(positions))])
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            records = await consumer.getmany(timeout_ms=200, max_records=_MOST)
            changes = [change for batch in records.values() for change in map(_change, batch) if change]
            if self.pages.recent is None:
                recent.extend(changes)
                if await _has_reached(consumer, ends):
                    self.pages.begin(recent)
            elif changes:
                self.pages.send(changes)
                if len(changes) < _MOST:
                    await asyncio.sleep(max(0.0, started + _PACE - clock()))

    async def _tell_stats(self) -> None:
        while True:
            await asyncio.sleep(_STATS_EVERY)
            self.pages.write(Block(event("stats", await self._stats())))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(_PING_EVERY)
            self.pages.write(Block(PING))


async def _has_reached(consumer: AIOKafkaConsumer, ends: dict[int, int]) -> bool:
    return all([await consumer.position(tp) >= ends[tp.partition] for tp in consumer.assignment()])


def _change(record: ConsumerRecord) -> Change | None:
    """None for what this program would not have written: pages parse what they get."""
    if record.value is None or b"\n" in record.value or b"\r" in record.value:
        return None
    try:
        decode_status(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return Change(record.partition, record.offset, record.value)
