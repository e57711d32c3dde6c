"""Records of one topic, read at places that are known: outside any group, and only when somebody asks (ADR 0024)."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka.client import client_options, start, stop

#: What is asked of each partition at a time: most places stand far from each other, and the rest of it is for nothing.
_FETCH_BYTES = 64 * 1024
#: The next place is read on to when it is at most so many records away; else it is sought.
_NEAR = 50
#: Bytes of values: what is found beyond them is read in the next go, which bounds the memory of this one.
_MOST_BYTES = 4 * 1024 * 1024
_WAIT_MS = 200
#: Seconds without an answer until Kafka is taken for away.
_PATIENCE = 10.0
#: The same since the last answer, once there is one: time for a large batch, and no more for who does not answer.
_MOMENT = 3.0
_NO_LEADER = -1

Found = dict[tuple[int, int], Any]


class PlaceReader:
    """Connects when it is asked the first time. Partitions that are read together share their way to the broker."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._consumer: AIOKafkaConsumer | None = None

    async def close(self) -> None:
        """At the worker's end."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    async def read(self, places: Mapping[int, Iterable[int]]) -> Found:
        """`places`: partition -> offsets. At least one record; None for what Kafka has no more.

        A partition that does not answer is left out. Raises BrokerUnavailable when none does.
        """
        wanted = {TopicPartition(self._topic, number): deque(sorted(at)) for number, at in places.items()}
        try:
            consumer = await self._open()
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{self._topic}: {type(error).__name__}") from error
        go = _Go(consumer)
        await go.read(wanted)
        if not go.found:
            raise BrokerUnavailable(f"{self._topic}: {go.why_not}")
        return go.found

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **client_options(self._settings),
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_partition_fetch_bytes=_FETCH_BYTES,
                fetch_max_wait_ms=_WAIT_MS,
            )
            await start(consumer)
            self._consumer = consumer
        return self._consumer


class _Go:
    """One go. Each partition is read by a task of its own, so that what one lacks costs the others nothing."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.found: Found = {}
        #: For people; of no use once something is found.
        self.why_not = f"nothing came for {_PATIENCE:.0f} s"
        self._size = 0
        self._patience = asyncio.timeout(_PATIENCE)

    async def read(self, wanted: Mapping[TopicPartition, deque[int]]) -> None:
        """`wanted`: offsets in order; those that are found are taken out."""
        self._consumer.assign(list(wanted))
        for tp, offsets in wanted.items():
            self._consumer.seek(tp, offsets[0])
        try:
            with suppress(TimeoutError):
                async with self._patience, asyncio.TaskGroup() as partitions:
                    for tp, offsets in wanted.items():
                        partitions.create_task(self._read_through(tp, offsets))
        finally:
            # Else aiokafka reads on for nobody, and asks without a pause for a leader that is not there. Its own
            # `unsubscribe` would ask for all topics of the cluster as well.
            self._consumer._subscription.unsubscribe()

    async def _read_through(self, tp: TopicPartition, offsets: deque[int]) -> None:
        """As far as memory allows, and to its first answer in any case: no partition waits for ever behind others."""
        left = len(offsets)
        try:
            while offsets and (self._size < _MOST_BYTES or len(offsets) == left):
                await self._turn(tp, offsets)
        except (KafkaError, OSError) as error:
            self.why_not = type(error).__name__
        self._consumer.pause(tp)

    async def _turn(self, tp: TopicPartition, offsets: deque[int]) -> None:
        left, near = len(offsets), _NEAR
        with suppress(OffsetOutOfRangeError):
            for record in (await self._consumer.getmany(tp, timeout_ms=_WAIT_MS)).get(tp, ()):
                self._pass(tp, offsets, record.offset)
                if offsets and offsets[0] == record.offset:
                    self._answer(tp, offsets.popleft(), record)
        position = await self._consumer.position(tp)  # waits for nothing: it was sought
        self._pass(tp, offsets, position)
        if len(offsets) == left:
            await self._leave_out(tp, offsets)
            near = 0
        if offsets and offsets[0] - position > near:
            self._consumer.seek(tp, offsets[0])

    def _pass(self, tp: TopicPartition, offsets: deque[int], position: int) -> None:
        """Kafka gives records in order: what lies before the position has none, or a marker, which nobody reads."""
        while offsets and offsets[0] < position:
            self._answer(tp, offsets.popleft(), None)

    def _answer(self, tp: TopicPartition, offset: int, record: Any) -> None:
        self.found[tp.partition, offset] = record
        self._size += len(record.value or b"") if record else 0
        if not self._patience.expired():  # else the others are being ended already
            self._patience.reschedule(asyncio.get_running_loop().time() + _MOMENT)

    async def _leave_out(self, tp: TopicPartition, offsets: deque[int]) -> None:
        """What lies before the log's beginning or behind its end is gone. Raises LeaderNotAvailableError at once,
        where aiokafka would ask for a leader until its time is up.
        """
        if self._consumer._client.cluster.leader_for_partition(tp) == _NO_LEADER:
            raise LeaderNotAvailableError(tp)
        starts, ends = await asyncio.gather(self._consumer.beginning_offsets([tp]), self._consumer.end_offsets([tp]))
        self._pass(tp, offsets, starts[tp])
        there = [offset for offset in offsets if offset < ends[tp]]
        while len(offsets) > len(there):
            self._answer(tp, offsets.pop(), None)
