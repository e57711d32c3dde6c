"""Our consumer over Faust's: where partitions start, acks that still count, contiguous commits. Knows Faust's insides.

Faust 0.15.3 steps over records on a rebalance and commits past orders in flight (docs/adr/0005). Every method below
replaces one of Faust's; tests/unit/test_transport_pin.py holds the hashes of what was replaced.
"""

import time
from collections.abc import Mapping
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust.types import TP

from creditstream.kafka.consumer_thread import InOrderThread, lease_clock
from creditstream.kafka.delivery import RETRY, InOrderDelivery
from creditstream.kafka.lease import Lease
from creditstream.kafka.offsets import Progress
from creditstream.kafka.ownership import CreditApp
from creditstream.kafka.watchdog import Standing

_MOST_DOUBTS = 10


class OffsetsWentBack(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Kafka gives a committed offset that is older than one that it has taken from this worker."""


class _Untracked(set[Any]):
    """Stands for Faust's set of unacknowledged messages, which `Progress` and the pipeline's drain replace."""

    def add(self, _message: object) -> None: ...

    def discard(self, _message: object) -> None: ...


class InOrderConsumer(InOrderDelivery):
    """Delivers each source partition's records in order and without a gap, and commits only what is done."""

    _thread: InOrderThread

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        app: CreditApp = transport.app
        self.metrics, self._ownership = app.instruments, app.ownership
        self.lease = Lease(transport.app.conf.broker_session_timeout)  # before the thread, which renews it
        super().__init__(transport, *args, **kwargs)
        self._unacked_messages = _Untracked()
        self._last_generation = 0
        #: As far as this worker knows that offsets were committed; and how often in a row Kafka knew less.
        self._reached: dict[TP, int] = {}
        self._doubts = 0
        #: By the monotonic clock: the last commit, and since when partitions are given up (0: they are not).
        self.committed_at = self._revoked_at = 0.0

    def _new_consumer_thread(self) -> InOrderThread:
        return InOrderThread(self, self.lease, loop=self.loop, beacon=self.beacon)

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
            tp: progress.standing(self.highwater(tp) or progress.expected) for tp, progress in self.progress.items()
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
                await self.sleep(RETRY)
            else:
                return

    async def _position(self, epoch: int) -> None:
        generation = self.app.consumer_generation_id
        sources = {tp for tp in self.assignment() if self.is_source(tp)}
        points = await self._thread.starting_points(sources) if sources else {}
        self._doubt(points)
        async with self._fetching:  # what is fetched comes from before the seek, and is dropped, or counts from here on
            await self._seek_to({tp: start for tp, (start, _) in points.items()})
            if epoch != self._epoch:
                return  # another rebalance began meanwhile; its own seek follows
            self._epoch += 1  # ends the round of deliveries that is under way
            self._backlog.clear()
            self.progress = {tp: Progress(start, replay_until=end) for tp, (start, end) in points.items()}
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

    def _begin_again(self, tp: TP, progress: Progress, offset: int) -> Progress:
        """Read again from the log's beginning, as the client does: nothing tells where in it the new records begin."""
        told = "%s: read up to offset %s, and its log goes on at %s: it was cut or made again, and is read from there"
        self.log.warning(told, tp, progress.expected, offset)
        self.metrics.log_cuts.add()
        self._reached[tp] = offset
        self.progress[tp] = again = progress.after_cut(offset)
        self._ownership.cut(tp)
        return again

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
        """The record is done. An ack from before a rebalance or a cut is worth nothing: the record comes again."""
        progress = self.progress.get(message.tp)
        if message.acked or progress is None or progress is not message.progress:
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
        given = {tp: progress for tp, progress in self.progress.items() if progress.to_commit}
        if not given:
            return False
        offsets = {tp: progress.position for tp, progress in given.items()}
        state = self.app.sensors.on_commit_initiated(self)
        committed = await self._commit(offsets)
        self.app.sensors.on_commit_completed(self, state)
        self.metrics.commits.add("committed" if committed else "failed")
        if committed:
            self.committed_at = time.monotonic()
            self._reached |= offsets
            for tp, progress in given.items():
                progress.committed = offsets[tp]
            self.app.monitor.on_tp_commit(offsets)
        return committed

    async def verify_all_partitions_active(self) -> None:
        """Faust's livelock check does not know our acks; the pipeline's own watchdog does.

        Its look at what is assigned ends a worker whose consumer waits for Kafka at its start.
        """
