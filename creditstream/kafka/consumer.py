"""Our consumer over Faust's: delivery in order, acks by generation, contiguous commits. Knows Faust's insides alone.

Faust 0.15.3 steps over records on a rebalance and commits past orders in flight (docs/adr/0005). Every method below
replaces one of Faust's; tests/unit/test_transport_pin.py holds the hashes of what was replaced.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import faust
from aiokafka.errors import KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka.consumer_thread import InOrderThread, lease_clock
from creditstream.kafka.lease import Lease
from creditstream.kafka.offsets import Admission, Progress
from creditstream.kafka.reading import FaultyRecord, Hole
from creditstream.kafka.watchdog import Standing
from creditstream.metrics.instruments import Instruments
from creditstream.order.record_time import believed_ms
from creditstream.order.unforeseen import OF_A_RECORD

#: Records delivered between two chances for the rest of the event loop.
_YIELD_EVERY = 100
#: Longest wait for room in a full stream queue before looking again; the queue itself wakes us sooner.
_ROOM_POLL = 0.02
#: Longest wait for records; a seek waits for it.
_FETCH_WAIT = 0.25
_SEEK_RETRY = 1.0
_MOST_DOUBTS = 10


class OffsetsWentBack(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Kafka gives a committed offset that is older than one that it has taken from this worker."""


class _Untracked(set[Any]):
    """Stands for Faust's set of unacknowledged messages, which `Progress` and the pipeline's drain replace."""

    def add(self, _message: object) -> None: ...

    def discard(self, _message: object) -> None: ...


class Ownership(Protocol):
    """Told by the consumer which partitions are this worker's."""

    async def drain(self) -> None:
        """Lets orders in flight finish, within a bound, before partitions are given up."""
        ...

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """None once a revoke is over, or when none are this worker's; else those that are, when all are in place.

        `interrupted`: a generation was missed, in which others may have had the same partitions.
        """
        ...


class CreditApp(Protocol):
    """What the consumer asks of its app, beside what Faust's has."""

    @property
    def ownership(self) -> Ownership: ...

    @property
    def instruments(self) -> Instruments: ...


class InOrderConsumer(driver.Consumer):
    """Delivers each source partition's records in order and without a gap, and commits only what is done."""

    _thread: InOrderThread

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        app: CreditApp = transport.app
        self.metrics, self._ownership = app.instruments, app.ownership
        self.lease = Lease(transport.app.conf.broker_session_timeout)  # before the thread, which renews it
        super().__init__(transport, *args, **kwargs)
        self._unacked_messages = _Untracked()
        self.progress: dict[TP, Progress] = {}
        self._backlog: dict[TP, deque[Any]] = {}
        self._epoch = 0
        self._last_generation = 0
        #: As far as this worker knows that offsets were committed; and how often in a row Kafka knew less.
        self._reached: dict[TP, int] = {}
        self._doubts = 0
        self._room = asyncio.Event()
        self._fetching = asyncio.Lock()
        #: By the monotonic clock: the last commit, and since when partitions are given up (0: they are not).
        self.committed_at = self._revoked_at = 0.0

    def _new_consumer_thread(self) -> InOrderThread:
        return InOrderThread(self, self.lease, loop=self.loop, beacon=self.beacon)

    def is_source(self, tp: TP) -> bool:
        """Whether its records are acknowledged one by one: the topics of orders, not the tables' changelogs."""
        return self.app.topics.acks_enabled_for(tp.topic)

    def lease_holds(self) -> bool:
        """Whether no other worker can own this one's partitions yet."""
        return self.lease.holds(lease_clock())

    def standings(self) -> dict[TP, Standing]:
        """Where each source partition stands; while tables recover, each changelog; none while a rebalance is on."""
        recovery = cast(Any, self.app.tables).recovery
        if recovery.in_recovery:
            # None, or no entry: not known yet.
            offsets, ends = recovery.active_offsets, recovery.active_highwaters
            return {tp: Standing(offsets.get(tp) or 0, end) for tp, end in ends.items() if end is not None}
        if self.app.rebalancing:
            return {}
        return {
            tp: Standing(progress.position, self.highwater(tp) or progress.expected)
            for tp, progress in self.progress.items()
        }

    def open_transactions(self) -> dict[TP, Standing]:
        """Partitions behind whose last record that may be read a producer has a transaction open, and where it ends."""
        found = {tp: self._thread.open_transaction(tp) for tp in self.progress}
        return {tp: Standing(*at) for tp, at in found.items() if at}

    # -- where each partition stands

    async def perform_seek(self) -> None:
        """After each rebalance: every source partition starts at its committed offset. Ends only with that done."""
        epoch = self._epoch
        while epoch == self._epoch and not self.should_stop:
            try:
                await self._position(epoch)
            except (KafkaError, TimeoutError) as error:
                self.log.warning("cannot read the committed offsets, trying again: %s", type(error).__name__)
                await self.sleep(_SEEK_RETRY)
            else:
                return

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Never while a fetch is on its way: it may return records from behind the seek, and if a rebalance has come in
        between they are dropped. A table that recovers would wait for them for ever.
        """
        async with self._fetching:
            await super().seek_wait(partitions)

    async def _position(self, epoch: int) -> None:
        generation = self.app.consumer_generation_id
        sources = {tp for tp in self.assignment() if self.is_source(tp)}
        points = await self._thread.starting_points(sources) if sources else {}
        self._doubt(points)
        async with self._fetching:  # what is fetched comes from before the seek, and is dropped, or counts from here on
            await super().seek_wait({tp: start for tp, (start, _) in points.items()})
            if epoch != self._epoch:
                return  # another rebalance began meanwhile; its own seek follows
            self._epoch += 1  # ends the round of deliveries that is under way
            self._backlog.clear()
            self.progress = {
                tp: Progress(start, generation=generation, replay_until=end) for tp, (start, end) in points.items()
            }
        self._note_at_work()
        interrupted = generation != self._last_generation + 1
        self._last_generation = generation
        self._ownership.own(frozenset(tp.partition for tp in self.progress) or None, interrupted=interrupted)

    def _doubt(self, points: Mapping[TP, tuple[int, int]]) -> None:
        """A broker that has just come back may not know yet what it was told: asked again, it does. Raises KafkaError.

        Believed, partitions would be read again from their beginning. A log that ends before is another one.
        """
        back = [tp for tp, (start, end) in points.items() if start < self._reached.get(tp, 0) <= end]
        self._doubts = self._doubts + 1 if back else 0
        if back and self._doubts <= _MOST_DOUBTS:
            raise OffsetsWentBack(f"{len(back)} partitions")
        self._reached |= {tp: start for tp, (start, _) in points.items()}

    def _note_at_work(self) -> None:
        self.committed_at = time.monotonic()
        if self._revoked_at:
            self.metrics.pause_seconds.observe(self.committed_at - self._revoked_at)
            self._revoked_at = 0.0

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drain and commit while acks still count (Faust forgets them first), then forget all positions."""
        if self.progress:
            self.metrics.rebalances.add()
            self._revoked_at = time.monotonic()
        await super().on_partitions_revoked(revoked)
        self._epoch += 1
        self.progress = {}
        self._backlog.clear()
        self._ownership.own(None)

    # -- done

    def ack(self, message: Any) -> bool:
        """The record is done. An ack from before a rebalance is worth nothing: the record comes again."""
        progress = self.progress.get(message.tp)
        if message.acked or progress is None or progress.generation != message.generation_id:
            return False
        message.acked = True
        progress.finish(message.offset)
        return True

    async def wait_empty(self) -> None:
        """Bounded by the pipeline's drain time-out, where Faust's own waits for ever."""
        await self._ownership.drain()
        await self.commit()

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the contiguous finished prefix of each partition."""
        offsets = {tp: progress.position for tp, progress in self.progress.items() if _is_ahead(progress)}
        if not offsets:
            return False
        state = self.app.sensors.on_commit_initiated(self)
        progress = self.progress
        committed = await self._commit(offsets)
        self.app.sensors.on_commit_completed(self, state)
        self.metrics.commits.add("committed" if committed else "failed")
        if committed:
            self.committed_at = time.monotonic()
            self._reached |= offsets
            for tp, offset in offsets.items():
                progress[tp].committed = offset
            self.app.monitor.on_tp_commit(offsets)
        return committed

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock check does not know our acks; the pipeline's own watchdog does."""

    # -- delivery

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing to do: a full queue keeps its records in the backlog, and no more are fetched for it."""

    def on_buffer_drop(self, tp: TP) -> None:
        self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        if self.app.client_only:
            return await super()._drain_messages(fetcher)
        try:
            while not (self.should_stop or fetcher.should_stop):
                try:
                    await self._drain_once()
                except self.consumer_stopped_errors:
                    raise
                except KafkaError as error:
                    # A server's: a damaged answer, a right that was taken away. The watchdog knows if it stays so.
                    self.log.error("cannot read from Kafka, trying again: %s", error)
                    await self.sleep(_SEEK_RETRY)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            self._backlog.clear()
            await self.wait(cast(Any, self.can_resume_flow))
            return
        if not self.progress and not self.app.rebalancing and any(map(self.is_source, self.assignment())):
            await self.perform_seek()  # the seek of the rebalance itself did not end in time
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
        wanted = {tp for tp in self._get_active_partitions() if tp not in self._backlog}
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
        """Hand on the partition's backlog as far as its queues have room; after a jump seek back instead."""
        records = self._backlog[tp]
        progress = self.progress.get(tp)
        source = self.is_source(tp)
        queues = [cast(Any, channel).queue for channel in cast(Any, self.app.topics)._tp_index.get(tp, ())]
        delivered = room = 0
        while records and (room := (room or _room(queues))):
            room -= 1
            kind = type(records[0])
            if kind is FaultyRecord and source and not cast(Any, self.app).pipeline.has_room():
                break  # it becomes a letter at once: no stream's queue holds it back
            record = records.popleft()
            if kind is Hole:
                if progress:
                    progress.pass_over(*record)
                continue
            if source:
                verdict = progress.admit(record.offset) if progress else Admission.DROP
                if verdict is Admission.DROP:
                    continue
                if verdict is Admission.SEEK_BACK:
                    records.clear()
                    await self._seek_back(tp, cast(Progress, progress), record.offset)
                    break
                if progress and not delivered:
                    now = int(time.time() * 1000)
                    progress.stamp(record.offset, believed_ms(record.timestamp, now))
            if kind is FaultyRecord and progress:
                self._refuse(tp, record, progress)
            else:
                try:
                    await self.callback(self._to_message(tp, record))
                except OF_A_RECORD as error:
                    if progress is None:
                        raise
                    self._refuse(tp, record, progress, error)
            delivered += 1
            if delivered % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if epoch != self._epoch or not self.flow_active:
                return
        if not records:
            self._backlog.pop(tp, None)

    def _refuse(self, tp: TP, record: Any, progress: Progress, error: Exception | None = None) -> None:
        """An order's record that cannot go to Faust's streams has its letter."""
        cast(Any, self.app).refuse(record, lambda: self._finished(tp, progress, record.offset), error)

    def _finished(self, tp: TP, progress: Progress, offset: int) -> None:
        """As `ack`, of a record that never became a message."""
        if self.progress.get(tp) is progress:
            progress.finish(offset)

    async def _seek_back(self, tp: TP, progress: Progress, found: int) -> None:
        self.log.warning("%s: got offset %s, expected %s: reading again from there", tp, found, progress.expected)
        try:
            async with self._fetching:
                if self.progress.get(tp) is progress:  # otherwise positions were taken anew meanwhile
                    await super().seek_wait({tp: progress.expected})
        except (KafkaError, TimeoutError) as error:
            self.log.warning("%s: seek failed, the next jump repeats it: %s", tp, type(error).__name__)


def _room(queues: Sequence[Any]) -> int:
    """How many records each of them takes, or so many that it pays to ask again: nobody but `_deliver` puts any in."""
    return min((max(0, queue.maxsize - queue.qsize()) for queue in queues if queue.maxsize), default=_YIELD_EVERY)


def waiting_events(stream: Any, most: int = _YIELD_EVERY) -> list[Any]:
    """The events that wait in the stream's queue, at most so many, without a turn of the event loop for each.

    Faust's stream gives every event such a turn. What it checks for each event as well (its generation), ours checks.
    """
    queue = stream.channel.queue
    return [queue.get_nowait() for _ in range(min(most, queue.qsize()))]


class QuietMonitor(faust.Monitor):
    """Faust's own statistics without those that it keeps for every message; ours are counted by the pipeline."""

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None: ...

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> None: ...

    def on_message_out(self, tp: TP, offset: int, message: Any) -> None: ...


def _is_ahead(progress: Progress) -> bool:
    return progress.position > progress.committed


class InOrderTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = InOrderConsumer
