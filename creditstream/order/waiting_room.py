"""Orders of `orders-retry` wait here for their time, and hold up nothing else (ADR 0024).

Only when each is due and where it stands is held. Its record is read again when its time has come.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from creditstream.errors import BrokerUnavailable
from creditstream.metrics.instruments import Instruments
from creditstream.order.backpressure import Backpressure
from creditstream.order.delays import Delays
from creditstream.order.ports import Place, RetryTopic
from creditstream.order.reception import Reception
from creditstream.order.record import Record

log = logging.getLogger(__name__)
#: Orders that wait: 60 MB. Beyond, those further back on the topic wait for room, whenever they are due.
_WAITING_MOST = 1_000_000
#: Seconds between two looks at what is due.
_TICK = 0.1
#: Records that are read again in one go: a second's worth of a busy worker.
_BATCH = 500
#: Seconds before Kafka is asked again.
_BACKOFF = 0.5


class WaitingRoom:
    """Its orders are on their topic still: all of it may be lost at any moment."""

    def __init__(
        self,
        *,
        longest_wait: float,
        topic: RetryTopic,
        reception: Reception,
        backpressure: Backpressure,
        metrics: Instruments,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`longest_wait`: seconds, whatever a record says."""
        self._longest_wait, self._topic = longest_wait, topic
        self._reception, self._backpressure, self._metrics = reception, backpressure, metrics
        self._monotonic, self._now = monotonic, now
        self._delayed, self._started = Delays(), Counter[int]()
        #: Those that are being read again. Replaced whenever partitions are given up.
        self._reading: dict[Place, None] = {}
        #: Partitions of which the last go did not bring all.
        self._unread: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Orders whose time has not come."""
        return len(self._delayed)

    def has_room(self) -> bool:
        """Whether another order may wait here."""
        return len(self._delayed) < _WAITING_MOST

    async def room(self) -> None:
        """Returns when it may."""
        await self._backpressure.until(self.has_room)

    def accept(self, record: Record) -> None:
        """For the agent of `orders-retry`."""
        self._reception.guarded(self._accept, record)

    def _accept(self, record: Record) -> None:
        """Its time is by the clock of whoever wrote it. From here on the wait is counted by a clock that does not jump,
        and it is never longer than the rule allows: a clock that was wrong cannot put an order off for years.
        """
        due = record.turn.due
        wait = (due - self._now()).total_seconds() if due else 0.0
        self._delayed.add(self._monotonic() + min(wait, self._longest_wait), Place(record.partition, record.offset))

    async def run(self) -> None:
        """For as long as the worker lives."""
        while True:
            await asyncio.sleep(_TICK)
            await self.run_once()

    async def run_once(self) -> None:
        """Start the orders that are due, as there is room for them."""
        while self._delayed.first_due(self._monotonic()):
            await self._backpressure.room()
            most = min(_BATCH, self._backpressure.places())
            self._reading |= dict.fromkeys(self._delayed.pop_due(self._monotonic(), most))
            await self._start(self._reading)

    async def _start(self, reading: dict[Place, None]) -> None:
        found = await self._read(tuple(reading))
        for place in found:
            await self._backpressure.room()  # what there was may be others' by now
            if reading is not self._reading:
                return  # their partitions are given up
            del reading[place]
            self._started[place.partition] += 1
            record = found[place]
            if record is None:
                self._topic.acknowledge(place)
            else:
                self._reception.guarded(self._reception.resume, record)
        if reading is self._reading:
            self._tell_lost([place for place, record in found.items() if record is None])
            self._unread = frozenset(place.partition for place in reading)
            for place in reading:
                self._delayed.add(0.0, place)  # not read yet: the first of the next batch
            reading.clear()

    async def _read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        """Nothing, after a moment, when Kafka is away, or when it is not known which partitions are ours."""
        found: Mapping[Place, Record | None] = {}
        try:
            found = await self._topic.read(places)
        except BrokerUnavailable as error:
            log.warning("%d orders that are due cannot be read, trying again: %s", len(places), error)
        if not found:
            await asyncio.sleep(_BACKOFF)
        return found

    def _tell_lost(self, lost: Sequence[Place]) -> None:
        """A dead letter cannot be written without the record."""
        if lost:
            self._metrics.lost_retries.add(by=len(lost))
            log.error(
                "%d records of orders-retry are gone from Kafka before their time, the first from partition %d, offset "
                "%d: nobody asks about their orders again (docs/how-to/order-stays-em-analise.md)",
                len(lost),
                *lost[0],
            )

    def partitions(self) -> Counter[int]:
        """How many orders are here, by partition; for liveness."""
        return self._delayed.partitions() + Counter(place.partition for place in self._reading)

    def due(self) -> dict[int, int]:
        """By partition on which an order is due and not started: a number that changes when one of it starts."""
        first = self._delayed.first_due(self._monotonic())
        partitions = self._unread | {place.partition for place in (*self._reading, *([first] if first else ()))}
        return {partition: self._started[partition] for partition in partitions}

    def clear(self) -> None:
        """Its partitions are given up."""
        self._delayed.clear()
        self._reading, self._unread = {}, frozenset()
