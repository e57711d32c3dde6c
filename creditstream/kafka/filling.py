"""A table's partitions are filled from their changelog while orders flow (docs/adr/0030-open-at-once.md)."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.client import client_options, stop
from creditstream.kafka.filling_log import TELL_EVERY, FillingLog
from creditstream.kafka.filling_ports import Table, Throttle
from creditstream.kafka.left_files import LeftFiles
from creditstream.kafka.table_files import DiskTrouble

log = logging.getLogger(__name__)
#: Records between two turns of everybody else: some milliseconds.
_SLICE = 500
#: As many records are read in the time that opening a partition takes, with a log of some megabytes.
_OPENING = 10_000
#: What is fetched ahead of each partition. Larger, memory would grow with the number of partitions.
_FETCH_BYTES = 256 * 1024
#: Seconds between two looks for partitions that were found damaged in use, and until a failure is tried again.
_LOOK_EVERY = 5.0
#: How long one question for records waits.
_PATIENCE_MS = 200
#: Seconds without a record, although there are more, until the client is given up, and where it ends is asked anew.
_STALLED_AFTER = 30.0


class Filling:
    """For the runtime, which runs its loop and tells it what is this worker's. Nobody waits for it."""

    def __init__(self, settings: Settings, table: Table, throttle: Throttle) -> None:
        self._settings, self._name, self._topic, self._files = settings, table.name, table.changelog, table.files
        self._throttle, self._left = throttle, LeftFiles(table.files)
        #: None while partitions are given up: nobody knows whose they will be.
        self._mine: frozenset[int] | None = None
        self._changed = asyncio.Event()
        #: By partition, of those that are being read: the next offset, and where it is whole.
        self._reading: dict[int, tuple[int, int]] = {}
        self._begun = 0.0

    @property
    def missing(self) -> int:
        """How many offsets are still to be read, of what is being read."""
        return sum(max(0, end - at) for at, end in self._reading.values())

    def notes(self) -> list[str]:
        """For people: a table that takes longer than a moment."""
        if not self.missing or time.monotonic() - self._begun < TELL_EVERY:
            return []
        return [f"{self._name} is being filled, {self.missing} records to go: orders are looked up in PostgreSQL"]

    def own(self, partitions: frozenset[int] | None) -> None:
        """From now on these are this worker's, and none of them is whole; None: they are being given up."""
        self._mine = partitions
        if partitions is None:
            self._files.doubt()
        else:
            self._files.keep(partitions)
        self._changed.set()

    async def run(self) -> None:
        """For as long as the worker lives."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._changed.wait()
            await self.run_once()

    async def run_once(self) -> None:
        """Fill what is not whole, until it is, or until something else is this worker's."""
        self._changed.clear()
        if self._mine is None:
            return
        self._left.look(self._mine)
        lacking = [partition for partition in sorted(self._mine) if not self._files.is_whole(partition)]
        opened = [partition for partition in lacking if await self._open(partition)]
        if not opened or self._changed.is_set():
            return
        try:
            await self._read(opened)
        except (KafkaError, OSError, StartError) as error:
            told = error if isinstance(error, StartError) else type(error).__name__
            log.warning("%s: not filled yet, trying again: %s", self._name, told)
        finally:
            self._reading.clear()

    async def _open(self, partition: int) -> bool:
        """RocksDB reads its log, and nothing else goes on meanwhile: others have a turn before the next one."""
        if self._changed.is_set():
            return False
        try:
            is_new = self._files.open(partition)
        except (DiskTrouble, OSError) as error:
            log.warning("not filled, trying again in %.0f s: %s", _LOOK_EVERY, error)
            return False
        if is_new:
            await self._throttle.after(_OPENING)
        return True

    async def _read(self, partitions: list[int]) -> None:
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # what retention removes meanwhile is passed over
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await consumer.start()
            await self._begin(consumer, partitions)
            told = FillingLog(self._name, self.missing)
            async with asyncio.timeout(_STALLED_AFTER) as patience:
                while self._reading and not self._changed.is_set():
                    read = await self._slice(consumer)
                    if read and not patience.expired():
                        patience.reschedule(asyncio.get_running_loop().time() + _STALLED_AFTER)
                    await self._throttle.after(read)
                    told.tell(self.missing)
            told.end(self.missing)
        finally:
            await stop(consumer)

    async def _begin(self, consumer: AIOKafkaConsumer, partitions: list[int]) -> None:
        """Those with something to read are being read from then on, the others are whole."""
        where = [TopicPartition(self._topic, partition) for partition in partitions]
        consumer.assign(where)
        first, ends = await asyncio.gather(consumer.beginning_offsets(where), consumer.end_offsets(where))
        if self._changed.is_set():
            return
        self._begun = time.monotonic()
        for tp in where:
            at, end = self._start(tp.partition, first[tp], ends[tp]), ends[tp]
            if at is not None and at < max(end, self._files.behind_marks(tp.partition)):
                consumer.seek(tp, at)
                self._reading[tp.partition] = (at, end)
                continue
            consumer.pause(tp)
            if at is not None:
                self._files.declare_whole(tp.partition)

    def _start(self, partition: int, first: int, end: int) -> int | None:
        """Behind what is on the disk. None: of a changelog that ends before that, which is another one."""
        tp = TP(self._topic, partition)
        persisted = self._files.persisted_offset(tp)
        if persisted is None:
            return first
        if persisted >= end:
            self._is_another(tp)
            return None
        return max(first, persisted + 1)

    def _is_another(self, tp: TP) -> None:
        """Where it ends is asked anew, with the next look: marks may have come since."""
        log.warning("%s[%d]: its changelog ends before what is on this disk: read again", self._name, tp.partition)
        self._files.forget(tp)

    async def _slice(self, consumer: AIOKafkaConsumer) -> int:
        """Returns how many records were read."""
        found = await consumer.getmany(timeout_ms=_PATIENCE_MS, max_records=_SLICE)
        reached = {each: await consumer.position(TopicPartition(self._topic, each)) for each in self._reading}
        if self._changed.is_set():  # another worker's, it may be
            return 0
        for partition, position in reached.items():
            tp = TopicPartition(self._topic, partition)
            if not self._take(TP(*tp), found.get(tp, ()), position):
                self._leave(consumer, partition)
            elif position >= self._reading[partition][1]:
                self._files.declare_whole(partition)
                self._leave(consumer, partition)
        return sum(map(len, found.values()))

    def _take(self, tp: TP, records: Sequence[Any], position: int) -> bool:
        """False: it is to be opened, and read, again."""
        at, end = self._reading[tp.partition]
        if position < at or (records and records[0].offset < at):  # the client goes back to the beginning by itself
            self._is_another(tp)
            return False
        items = [(record.key, record.value) for record in records if record.key is not None]
        if records and not self._files.fill(tp, items, records[-1].offset):
            return False
        self._reading[tp.partition] = (position, max(end, self._files.behind_marks(tp.partition)))
        return True

    def _leave(self, consumer: AIOKafkaConsumer, partition: int) -> None:
        del self._reading[partition]
        consumer.pause(TopicPartition(self._topic, partition))
