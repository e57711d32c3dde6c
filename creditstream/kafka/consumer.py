"""Our consumer over Faust's: acks that still count, and contiguous commits. Knows Faust's insides.

Faust 0.15.3 steps over records on a rebalance and commits past orders in flight (docs/adr/0005). Every method below
replaces one of Faust's; tests/unit/test_transport_pin.py holds the hashes of what was replaced.
"""

import time
from typing import Any

from faust.types import TP

from creditstream.kafka.consumer_thread import InOrderThread, lease_clock
from creditstream.kafka.lease import Lease
from creditstream.kafka.positions import InOrderPositions
from creditstream.kafka.watchdog import Standing


class _Untracked(set[Any]):
    """Stands for Faust's set of unacknowledged messages, which `Progress` and the pipeline's drain replace."""

    def add(self, _message: object) -> None: ...

    def discard(self, _message: object) -> None: ...


class InOrderConsumer(InOrderPositions):
    """Delivers each source partition's records in order and without a gap, and commits only what is done."""

    _thread: InOrderThread

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        self.lease = Lease(transport.app.conf.broker_session_timeout)  # before the thread, which renews it
        super().__init__(transport, *args, **kwargs)
        self._unacked_messages = _Untracked()

    def _new_consumer_thread(self) -> InOrderThread:
        return InOrderThread(self, self.lease, loop=self.loop, beacon=self.beacon)

    def lease_holds(self) -> bool:
        """Whether no other worker can own this one's partitions yet."""
        return self.lease.holds(lease_clock())

    def standings(self) -> dict[TP, Standing]:
        """Where each source partition stands; none while a rebalance is on."""
        if self.app.rebalancing:
            return {}
        return {
            tp: progress.standing(self.highwater(tp) or progress.expected) for tp, progress in self.progress.items()
        }

    def open_transactions(self) -> dict[TP, Standing]:
        """Partitions behind whose last record that may be read a producer has a transaction open, and where it ends."""
        found = {tp: self._thread.open_transaction(tp) for tp in self.progress}
        return {tp: Standing(*at) for tp, at in found.items() if at}

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
