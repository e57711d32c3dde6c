"""Where each source partition starts, from a rebalance on. Knows Faust's insides.

Faust 0.15.3 steps over records on a rebalance (docs/adr/0005). What replaces a method of Faust's is named as that is.
"""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.delivery import RETRY, InOrderDelivery
from creditstream.kafka.offsets import Progress, StartingPoint
from creditstream.kafka.ownership import CreditApp
from creditstream.kafka.reading import gap

_MOST_DOUBTS = 10


class OffsetsWentBack(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Kafka gives a committed offset that is older than one that it has taken from this worker."""


class InOrderPositions(InOrderDelivery):
    """Faust's consumer as far as partitions come and go. What is done of them, and committed: its subclass."""

    _thread: InOrderThread

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        app: CreditApp = transport.app
        self.metrics, self._ownership = app.instruments, app.ownership
        super().__init__(transport, *args, **kwargs)
        self._last_generation = 0
        #: Nothing is between a revocation and the next assignment.
        self._is_assigned = False
        #: As far as this worker knows that offsets were committed; and how often in a row Kafka knew less.
        self._reached: dict[TP, int] = {}
        self._doubts = 0
        #: By the monotonic clock: the last commit, and since when partitions are given up (0: they are not).
        self.committed_at = self._revoked_at = 0.0

    async def perform_seek(self) -> None:
        """After each rebalance: every source partition starts at its committed offset.

        Ends only with that done, or with another rebalance. Between a revocation and the next assignment nothing is
        positioned: what is assigned then may be another worker's.
        """
        epoch = self._epoch
        while not (self._is_over(epoch) or self.should_stop):
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
            if self._is_over(epoch):
                return
            await self._seek_to({tp: point.start for tp, point in points.items()})
            if self._is_over(epoch):
                return
            self._epoch += 1  # ends the round of deliveries that is under way
            self._backlog.clear()
            self.progress = {tp: self._progress(tp, point) for tp, point in points.items()}
        self._room.set()  # there is something to fetch
        self._note_at_work()
        interrupted = generation != self._last_generation + 1
        self._last_generation = generation
        self._ownership.own(frozenset(tp.partition for tp in self.progress), interrupted=interrupted)

    def _progress(self, tp: TP, point: StartingPoint) -> Progress:
        """Where it goes on. What is gone from there has its dead letter first.

        A group that knew no offset learns at once where it began: what is removed unread from now on will be missed.
        """
        if point.gone_from is None:
            return Progress(point.start, replay_until=point.end, is_known=point.is_known)
        self._backlog[tp] = deque(gap(tp, point.gone_from, point.start))
        return Progress(point.gone_from, replay_until=point.end)

    def _is_over(self, epoch: int) -> bool:
        """Another rebalance began meanwhile; its own seek follows."""
        return epoch != self._epoch or not self._is_assigned

    def _doubt(self, points: Mapping[TP, StartingPoint]) -> None:
        """A broker that has just come back may not know yet what it was told: asked again, it does. Raises KafkaError.

        Believed, partitions would be read again from their beginning. A log that ends before is another one.
        """
        back = [tp for tp, point in points.items() if point.start < self._reached.get(tp, 0) <= point.end]
        self._doubts = self._doubts + 1 if back else 0
        if back and self._doubts <= _MOST_DOUBTS:
            raise OffsetsWentBack(f"{len(back)} partitions")
        self._reached |= {tp: point.start for tp, point in points.items()}

    def _begin_again(self, tp: TP, progress: Progress, offset: int) -> Progress:
        """Read again from the log's beginning, as the client does: nothing tells where in it the new records begin."""
        told = "%s: read up to offset %s, and its log goes on at %s: it was cut or made again, and is read from there"
        self.log.warning(told, tp, progress.expected, offset)
        self.metrics.log_cuts.add()
        self._reached[tp] = offset
        self.progress[tp] = again = progress.after_cut(offset)
        self._ownership.cut(tp)
        return again

    def unpositioned(self) -> set[TP]:
        """Source partitions that are assigned and stand nowhere: none of their orders is decided."""
        if self.progress or not self._is_assigned:
            return set()
        return {tp for tp in self.assignment() if self.is_source(tp)}

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
        self._is_assigned = False
        await super().on_partitions_revoked(revoked)
        self._epoch += 1
        self.progress = {}
        self._backlog.clear()
        self._ownership.own(None)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """From here on what is assigned is this worker's. It is not fetched before it has a position.

        The changelog of a table is assigned too, as Faust has it, and never read by this consumer.
        """
        self._is_assigned = True
        self._epoch += 1
        self._backlog.clear()
        self.pause_partitions(assigned)
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:  # Faust asks for no positions then, and the orders of what was revoked are others' now
            await self.perform_seek()
