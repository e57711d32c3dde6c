"""Records of one topic, read at places that are known: outside any group, and only when somebody asks (ADR 0024)."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka.client import client_options, start

#: What is asked of each partition at a time: most places stand far from each other, and the rest of it is for nothing.
_FETCH_BYTES = 64 * 1024
#: The next place is read on to when it is at most so many records away; else it is sought.
_NEAR = 50
#: Bytes of values: what is found beyond them is read in the next go, which bounds the memory of this one.
_MOST_BYTES = 4 * 1024 * 1024
_WAIT_MS = 200
#: Seconds without a record until Kafka is taken for away.
_PATIENCE = 10.0

#: By partition: the offsets that are still wanted.
Wanted = dict[TopicPartition, deque[int]]
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
            await consumer.stop()

    async def read(self, places: Mapping[int, Iterable[int]]) -> Found:
        """`places`: partition -> offsets. At least one record; None for what Kafka has no more.

        Raises BrokerUnavailable.
        """
        wanted: Wanted = {TopicPartition(self._topic, number): deque(sorted(at)) for number, at in places.items()}
        found: Found = {}
        try:
            consumer = await self._open()
            consumer.assign(list(wanted))
            for tp, offsets in wanted.items():
                consumer.seek(tp, offsets[0])
            await self._read(consumer, wanted, found)
        except (KafkaError, OSError) as error:
            if not found:
                raise BrokerUnavailable(f"{self._topic}: {type(error).__name__}") from error
        return found

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

    async def _read(self, consumer: AIOKafkaConsumer, wanted: Wanted, found: Found) -> None:
        clock = asyncio.get_running_loop().time
        size, patience = 0, clock() + _PATIENCE
        while wanted and size < _MOST_BYTES:
            try:
                fetched = await consumer.getmany(timeout_ms=_WAIT_MS)
            except OffsetOutOfRangeError:
                fetched = {}
                await self._leave_out(consumer, wanted, found)
            for tp, records in fetched.items():
                if tp not in wanted:
                    continue
                size += _pick(wanted[tp], records, found)
                _go_on(consumer, tp, wanted, records[-1].offset + 1)
                patience = clock() + _PATIENCE
            if clock() >= patience:
                await self._leave_out(consumer, wanted, found)
                if wanted and not found:
                    raise BrokerUnavailable(f"{self._topic}: nothing came for {_PATIENCE:.0f} s")
                return

    async def _leave_out(self, consumer: AIOKafkaConsumer, wanted: Wanted, found: Found) -> None:
        """What lies before the log's beginning or behind its end is gone."""
        starts, ends = await asyncio.gather(consumer.beginning_offsets(wanted), consumer.end_offsets(wanted))
        for tp, offsets in list(wanted.items()):
            there = deque(offset for offset in offsets if starts[tp] <= offset < ends[tp])
            found |= {(tp.partition, offset): None for offset in offsets if offset not in there}
            wanted[tp] = there
            _go_on(consumer, tp, wanted, -1)


def _pick(offsets: "deque[int]", records: Iterable[Any], found: Found) -> int:
    """Take what is wanted; Kafka gives records in order, so that what is passed over is gone. Returns the bytes."""
    size = 0
    for record in records:
        while offsets and offsets[0] <= record.offset:
            offset = offsets.popleft()
            found[record.partition, offset] = record if offset == record.offset else None
            size += len(record.value or b"") if offset == record.offset else 0
    return size


def _go_on(consumer: AIOKafkaConsumer, tp: TopicPartition, wanted: Wanted, position: int) -> None:
    """To the partition's next place, by a seek when it is far from its position."""
    if not wanted[tp]:
        del wanted[tp]
        consumer.pause(tp)
    elif position < 0 or wanted[tp][0] - position > _NEAR:
        consumer.seek(tp, wanted[tp][0])
