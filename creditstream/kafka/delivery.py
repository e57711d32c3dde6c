"""From a fetch to Faust's streams: each source partition's records in order and without a gap. Knows Faust's insides.

Faust 0.15.3 steps over records on a rebalance (docs/adr/0005). What replaces a method of Faust's is named as that is.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka.offsets import Admission, Progress
from creditstream.kafka.reading import FaultyRecord, Hole, gap
from creditstream.kafka.stream_queues import MOST_AT_ONCE, room_of
from creditstream.order.record_time import believed_ms
from creditstream.order.unforeseen import OF_A_RECORD

#: Longest wait for room in a full stream queue before looking again; the queue itself wakes us sooner.
_ROOM_POLL = 0.02
#: Longest wait for records; a seek waits for it.
_FETCH_WAIT = 0.25
#: Seconds between two tries of what a broker refused.
RETRY = 1.0


class InOrderDelivery(driver.Consumer):
    """Faust's consumer as far as it hands records on. Where partitions start, and what is committed: its subclass."""

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        #: Where each source partition stands, since the last seek; empty while a rebalance is on.
        self.progress: dict[TP, Progress] = {}
        self._backlog: dict[TP, deque[Any]] = {}  # what was fetched and is not handed on yet
        #: Counts whatever makes all that was fetched before worthless: a round of deliveries ends when it changes.
        self._epoch = 0
        self._room = asyncio.Event()
        self._fetching = asyncio.Lock()

    def is_source(self, tp: TP) -> bool:
        """Whether its records are acknowledged one by one: the topics of orders, not the tables' changelogs."""
        return self.app.topics.acks_enabled_for(tp.topic)

    async def _seek_to(self, partitions: Mapping[TP, int]) -> None:
        """As Faust does it. The caller holds the lock against fetches: one may return what lies behind the seek."""
        await self.seek_wait(partitions)

    def on_buffer_full(self, tp: TP) -> None:
        """A full queue keeps its records in the backlog, and no more are fetched for it."""

    def on_buffer_drop(self, tp: TP) -> None:
        self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        ended: tuple[type[BaseException], ...] = (asyncio.CancelledError, *self.consumer_stopped_errors)
        try:
            while not (self.should_stop or fetcher.should_stop):
                try:
                    await self._drain_once()
                except self.consumer_stopped_errors:
                    raise
                except KafkaError as error:
                    # A damaged answer, a right that was taken away: the watchdog knows if it stays so.
                    self.log.error("cannot read from Kafka, trying again: %s", error)
                    await self.sleep(RETRY)
        except ended:
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            self._backlog.clear()
            await self.wait(cast(Any, self.can_resume_flow))
            return
        epoch, records = await self._fetch()
        if epoch != self._epoch or not self.flow_active:
            return
        for tp, batch in records.items():
            self._backlog[ensure_TP(tp)] = deque(batch)
        for tp in list(self._backlog):
            if epoch != self._epoch or not self.flow_active:
                return
            await self._deliver(tp, epoch)

    async def _fetch(self) -> tuple[int, Mapping[Any, list[Any]]]:
        """Records, and the epoch that they belong to: a seek may have been waited for."""
        wanted = (self._get_active_partitions() - self._backlog.keys()) & self.progress.keys()
        self._room.clear()
        if wanted:
            wait = _ROOM_POLL if self._backlog else _FETCH_WAIT
            async with self._fetching:
                return self._epoch, await self._getmany(active_partitions=wanted, timeout=wait)
        epoch = self._epoch
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), _ROOM_POLL if self._backlog else _FETCH_WAIT)
        return epoch, {}

    async def _deliver(self, tp: TP, epoch: int) -> None:
        """Hand on the partition's backlog as far as its queues have room."""
        records, progress = self._backlog[tp], self.progress.get(tp)
        queues = [cast(Any, channel).queue for channel in cast(Any, self.app.topics)._tp_index.get(tp, ())]
        if progress:
            await self._deliver_source(tp, epoch, progress, queues)
        else:
            records.clear()  # of a partition that this worker has no more
        if not records:
            self._backlog.pop(tp, None)

    async def _deliver_source(self, tp: TP, epoch: int, progress: Progress, queues: Sequence[Any]) -> None:
        """In order and without a gap; after a jump seek back instead. A part of its own would cost a call a record."""
        records, app = self._backlog[tp], cast(Any, self.app)
        delivered = room = 0
        while records and (room := (room or room_of(queues))):
            room -= 1
            kind = type(records[0])
            if kind is FaultyRecord and not app.pipeline.has_room():
                return  # it becomes a dead letter at once: no stream's queue holds it back
            record = records.popleft()
            if kind is Hole:
                progress.pass_over(*record)
                continue
            if record.offset > progress.expected and progress.is_gone(record.offset):
                records.extendleft((record, *reversed(gap(tp, progress.expected, record.offset))))
                continue
            if (verdict := progress.admit(record.offset)) is Admission.SEEK_BACK:
                records.clear()
                await self._seek_back(tp, progress, record.offset)
                continue
            if verdict is Admission.BEGIN_AGAIN:
                progress = self._begin_again(tp, progress, record.offset)
                progress.admit(record.offset)
            if not delivered:
                progress.stamp(record.offset, believed_ms(record.timestamp, int(time.time() * 1000)))
            if kind is FaultyRecord:
                self._refuse(tp, record, progress)
            else:
                try:
                    message = cast(Any, self._to_message(tp, record))
                    message.progress = progress
                    await self.callback(message)
                except OF_A_RECORD as error:
                    self._refuse(tp, record, progress, error)
            delivered += 1
            if delivered % MOST_AT_ONCE == 0:
                await asyncio.sleep(0)
            if epoch != self._epoch or not self.flow_active:
                return

    def _refuse(self, tp: TP, record: Any, progress: Progress, error: Exception | None = None) -> None:
        """An order's record that cannot go to Faust's streams has its dead letter."""
        cast(Any, self.app).refuse(record, lambda: self.finished(tp, progress, record.offset), error)

    def finished(self, tp: TP, progress: Progress, offset: int) -> None:
        """As `ack`, of a record that never became a message, or was read again."""
        if self.progress.get(tp) is progress:
            progress.finish(offset)

    def _begin_again(self, tp: TP, progress: Progress, offset: int) -> Progress:
        raise NotImplementedError  # the subclass's: where a partition stands whose log was cut

    async def _seek_back(self, tp: TP, progress: Progress, found: int) -> None:
        self.log.warning("%s: got offset %s, expected %s: reading again from there", tp, found, progress.expected)
        try:
            async with self._fetching:
                if self.progress.get(tp) is progress:  # otherwise positions were taken anew meanwhile
                    await self._seek_to({tp: progress.expected})
        except (KafkaError, TimeoutError) as error:
            self.log.warning("%s: seek failed, the next jump repeats it: %s", tp, type(error).__name__)
