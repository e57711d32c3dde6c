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
#: Seconds before Kafka is asked again; and for a partition that is silent while others are read: asking for it costs
#: the others three seconds.
_BACKOFF, _REST = 0.5, 5.0


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
        self._delayed, self._started = Delays(), 0
        #: Those that are being read again. What is given up meanwhile is taken out.
        self._reading: dict[Place, None] = {}
        #: Partitions that were asked and gave nothing, and how many had started when that began.
        self._silent: dict[int, int] = {}

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
            self._reading = dict.fromkeys(self._delayed.pop_due(self._monotonic(), most))
            found = await self._read(tuple(self._reading))
            await self._start(found)
            self._put_back(found)

    async def _read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        """Nothing when Kafka is away, or when it is not known which partitions are ours."""
        try:
            return await self._topic.read(places) if places else {}
        except BrokerUnavailable as error:
            log.warning("%d orders that are due cannot be read, trying again: %s", len(places), error)
            return {}

    async def _start(self, found: Mapping[Place, Record | None]) -> None:
        """What is not in `_reading` any more is of a partition that was given up, or whose log was cut."""
        lost = []
        for place, record in found.items():
            await self._backpressure.room()  # what there was may be others' by now
            if place not in self._reading:
                continue
            del self._reading[place]
            self._started += 1
            if record is None:
                lost.append(place)
                self._topic.acknowledge(place)
            else:
                self._reception.guarded(self._reception.resume, record)
        self._tell_lost(lost)

    def _put_back(self, found: Mapping[Place, Record | None]) -> None:
        """What was not read is the first of its partition's next batch. Where nothing was, the partition rests."""
        answers = {place.partition for place in found}
        silent = {place.partition for place in self._reading} - answers
        for partition in answers:
            self._silent.pop(partition, None)
        for partition in silent:
            self._delayed.rest(partition, self._monotonic() + (_REST if answers else _BACKOFF))
            if answers and partition not in self._silent:
                log.warning("partition %d of orders-retry gives no record, the others go on", partition)
            self._silent.setdefault(partition, self._started)
        for place in self._reading:
            self._delayed.add(0.0, place)
        self._reading = {}

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

    def next(self) -> dict[int, int]:
        """The partition of the first order that is due and not started, and those that give no record; for liveness.

        With each a number. It changes when an order starts; of one that gives no record, when it gives one.
        """
        reading = (place for place in self._reading if place.partition not in self._silent)
        place = next(reading, None) or self._delayed.first_due(self._monotonic())
        return ({place.partition: self._started} if place else {}) | self._silent

    def clear(self) -> None:
        """Its partitions are given up."""
        self._delayed.clear_all()
        self._reading, self._silent = {}, {}

    def forget(self, partition: int) -> None:
        """The partition's log was cut: what waits of it comes again, or is gone. Other records stand at its places."""
        self._delayed.clear(partition)
        self._reading = {place: None for place in self._reading if place.partition != partition}
        self._silent.pop(partition, None)
