"""A changelog read into RocksDB by the batch, before Faust's own recovery looks at what is missing (ADR 0010)."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from creditstream.kafka.client import client_options, stop
from creditstream.kafka.table_files import TableFiles

log = logging.getLogger(__name__)
#: Fewer records than this Faust replays itself in a moment; a consumer of our own would take longer to start.
_WORTH_IT = 2_000
#: Seconds. A member that is not back in its group by then is taken for dead; the rest is left to Faust's own recovery.
_AT_MOST = 30.0
_FETCH_BYTES = 4 * 1024 * 1024


class BulkTable(faust.Table[bytes, bytes]):
    """Faust's table, filled in bulk when it gets partitions. What is left over, Faust recovers as ever."""

    def _new_store_by_url(self, url: Any) -> TableFiles:
        """In place of Faust's, which goes by the address and knows only stores of its own."""
        return TableFiles(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
            options=self.options,
        )

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        mine = [tp for tp in newly_assigned if tp.topic in self.changelog_topic.topics]
        if not mine:
            return
        try:
            await asyncio.wait_for(self._load(mine), _AT_MOST)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("%s: not all loaded in bulk, the rest is recovered: %s", self.name, type(error).__name__)

    async def _load(self, partitions: Sequence[TP]) -> None:
        app: Any = self.app
        consumer = AIOKafkaConsumer(
            **client_options(app.settings), enable_auto_commit=False, max_partition_fetch_bytes=_FETCH_BYTES
        )
        await consumer.start()
        try:
            ends = await _missing(consumer, {tp: self.data.persisted_offset(tp) for tp in partitions})
            if ends:
                started = time.monotonic()
                loaded = await self._read(consumer, ends)
                seconds = time.monotonic() - started
                log.info("%s: %d records loaded from its changelog in %.2f s", self.name, loaded, seconds)
        finally:
            await stop(consumer)

    async def _read(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> int:
        loaded = 0
        while ends:
            for where, records in (await consumer.getmany(timeout_ms=500)).items():
                items = ((record.key, record.value) for record in records)
                cast(TableFiles, self.data).write(TP(where.topic, where.partition), items, records[-1].offset)
                loaded += len(records)
            for where in [where for where in ends if await consumer.position(where) >= ends[where]]:
                del ends[where]
                consumer.pause(where)
        return loaded


async def _missing(consumer: AIOKafkaConsumer, persisted: dict[TP, int | None]) -> dict[TopicPartition, int]:
    """Where the partitions end, of those worth loading, if all together are. The consumer stands where to begin."""
    where = {TopicPartition(tp.topic, tp.partition): offset for tp, offset in persisted.items()}
    consumer.assign(list(where))
    first, ends = await asyncio.gather(consumer.beginning_offsets(list(where)), consumer.end_offsets(list(where)))
    starts = {tp: max(first[tp], -1 if offset is None else offset + 1) for tp, offset in where.items()}
    if sum(max(0, ends[tp] - start) for tp, start in starts.items()) < _WORTH_IT:
        return {}
    for tp, start in starts.items():
        consumer.seek(tp, min(start, ends[tp]))
    return {tp: ends[tp] for tp, start in starts.items() if start < ends[tp]}
