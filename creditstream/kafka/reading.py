"""aiokafka's consumers read whatever Kafka accepts, and know how far they have read without a gap (docs/adr/0017).

aiokafka 0.14 raises in its fetcher on a header name that is not UTF-8, which ends whoever reads, and again after each
restart; it makes a compressed batch as large as it says it is. And what it passes over (records of an aborted
transaction, markers) looks to whoever reads like records that were lost.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.structs import ConsumerRecord

from creditstream.kafka.batches import RawRecord, Unreadable, has_long_records, read_carefully, unreadable_batch
from creditstream.kafka.decompression import is_compressed, uncompressed
from schemas.dead_letter import REMOVED_UNREAD
from schemas.headers import REMOVED_UNTIL

log = logging.getLogger(__name__)


@dataclass
class FaultyRecord(ConsumerRecord[bytes, bytes]):  # type: ignore[misc]  # aiokafka has no types
    """A record that could not be read whole. `size`: of its value, of which some may be cut."""

    reason: str
    fault: str
    size: int


class Hole(NamedTuple):
    """Offsets from `after` to before `until` hold nothing: Kafka was asked for all of them in one go."""

    after: int
    until: int


def gap(tp: Any, first: int, until: int) -> tuple[FaultyRecord, Hole]:
    """What is handed on where Kafka has removed the records from `first` to before `until` before they were read.

    Like any record that cannot be read it becomes a dead letter, and no offset behind it is committed before. The size
    says that the letter holds no whole record: there is nothing to send again.
    """
    fault = f"{until - first} records, up to offset {until - 1}, were removed by Kafka before they were read"
    headers = ((REMOVED_UNTIL, str(until).encode()),)
    fields = (tp.topic, tp.partition, first, -1, 0, None, None, None, -1, -1, headers)
    return FaultyRecord(*fields, REMOVED_UNREAD, fault, 1), Hole(first + 1, until)


def read_whatever_kafka_has() -> None:
    """For every aiokafka consumer of this process that is made from now on."""
    module: Any = fetcher
    module.MemoryRecords = _Batches
    module.PartitionRecords = _Records
    module.FetchResult = _Result


class _Batches(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka has no types
    """Keeps the bytes of the batch that it gave last."""

    raw: memoryview = memoryview(b"")

    def next_batch(self, *args: Any) -> Any:
        self.raw = self._next_slice
        return super().next_batch(*args)


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of one answer: aiokafka's own code, but for the reading of a batch that is not skipped."""

    def __iter__(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        """Those that are left. Without a call of `__next__` for each."""
        return self._records_iterator or iter(())

    def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        records = self._records
        while records.has_next():
            batch = records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not self._is_passed_over(batch):
                yield from self._unread(batch, records.raw)
            self.next_fetch_offset = batch.next_offset

    def _is_passed_over(self, batch: Any) -> bool:
        """Markers, and what belongs to a transaction that was aborted."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def _unread(self, batch: Any, raw: memoryview) -> Iterator[ConsumerRecord[bytes, bytes]]:
        end = batch.next_offset  # Kafka itself numbers the records of a batch: no other offset is one of them
        tp, plainly = self._tp, super()._consumer_record
        for record in self._read(batch, raw):
            if self.next_fetch_offset <= record.offset < end:
                self.next_fetch_offset = record.offset + 1
                yield _carefully_read(tp, record) if type(record) is RawRecord else plainly(tp, record)

    def _read(self, batch: Any, raw: memoryview) -> Iterator[Any]:
        """The fast way, and from the first record that it cannot read the careful one, from the batch's beginning."""
        if not isinstance(batch, DefaultRecordBatch):
            yield from batch  # of a broker before 0.11
            return
        plain: bytes | memoryview = raw
        whole = True
        try:
            if is_compressed(raw):
                plain, whole = uncompressed(raw)
                batch = DefaultRecordBatch(plain)
            if whole and not has_long_records(plain):
                yield from batch
                return
        except Unreadable as error:
            yield from unreadable_batch(raw, str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the careful way says what can be read
            log.info("%s: a batch at offset %d is read with care: %r", self._tp, batch.base_offset, type(error))
        yield from read_carefully(bytes(plain), whole=whole)


def _carefully_read(tp: Any, record: RawRecord) -> ConsumerRecord[bytes, bytes]:
    key, value = record.key, record.value
    sizes = (-1 if key is None else len(key), -1 if value is None else len(value))
    fields = (tp.topic, tp.partition, record.offset, record.timestamp, 0, key, value, None, *sizes, record.headers)
    if record.reason:
        return FaultyRecord(*fields, record.reason, record.fault, record.size)
    return ConsumerRecord(*fields)


class _Result(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka has no types
    """Leaves word with the partition's state from where to where it has just been read: `read`."""

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord[bytes, bytes]]:
        records = self._partition_records
        start = records.next_fetch_offset if records else 0
        found: list[ConsumerRecord[bytes, bytes]] = super().getall(max_records)
        if records and self._assignment.active:
            self._assignment.state_value(self._topic_partition).read = (start, records.next_fetch_offset)
        return found


def with_holes(records: list[Any], start: int, end: int) -> list[Any]:
    """What was read from `start` to `end` in one go, with a Hole wherever there is nothing."""
    if len(records) == end - start:
        return records
    found: list[Any] = []
    for record in records:
        if record.offset > start:
            found.append(Hole(start, record.offset))
        found.append(record)
        start = record.offset + 1
    return [*found, Hole(start, end)] if start < end else found


def just_read(consumer: Any) -> dict[Any, tuple[int, int]]:
    """From where to where each partition was read since this was asked last (`_Result`)."""
    told = {tp: state.__dict__.pop("read", None) for tp, state in states(consumer).items()}
    return {tp: read for tp, read in told.items() if read}


def states(consumer: Any) -> dict[Any, Any]:
    """aiokafka's own, by partition: those that are assigned."""
    subscription = consumer._subscription.subscription
    assignment = subscription and subscription.assignment
    return {tp: assignment.state_value(tp) for tp in assignment.tps} if assignment else {}
