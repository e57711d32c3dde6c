"""PURE: a partition's log: batches of bytes as Kafka keeps them, transactions, where it starts and where it ends."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from creditstream.kafka.batches import ATTRIBUTES, HEADER

_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_CRC_AT, _CRC_FROM = 17, 21
READ_COMMITTED = 1
#: As many of a producer's batches as a broker knows again.
_REMEMBERED = 5


class Batch(NamedTuple):
    """Offsets `base` to `last`. `producer`: of a transaction, else -1. `closes`: it is that producer's marker."""

    base: int
    last: int
    raw: bytes
    producer: int
    closes: bool
    is_strange: bool = False


class Unread(NamedTuple):
    """In place of a record of a strange batch, for whoever checks the world."""

    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[()] = ()


class Aborted(NamedTuple):
    """A transaction that was aborted: whose, from where, and where its marker stands."""

    producer: int
    first: int
    marker: int


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self._batches: list[Batch] = []
        self._open: dict[int, int] = {}
        self._aborted: list[Aborted] = []
        #: By idempotent producer and epoch: offset and sequence number of its last batches.
        self._last: defaultdict[Any, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    @property
    def stable(self) -> int:
        """The last stable offset: behind it stands a transaction that is open."""
        return min(self._open.values(), default=self.end)

    def append(self, raw: bytes, *, is_strange: bool = False) -> int:
        """Take a producer's batch. Returns its first offset. `is_strange`: not every client can read it."""
        fields = HEADER.unpack_from(raw)
        attributes, count, producer = fields[5], fields[6] + 1, fields[9]
        base, self.end = self.end, self.end + count
        owner = producer if attributes & _TRANSACTIONAL else -1
        if owner >= 0:
            self._open.setdefault(owner, base)
        placed = base.to_bytes(8, "big") + raw[8:]
        self._batches.append(Batch(base, self.end - 1, placed, owner, closes=False, is_strange=is_strange))
        return base

    def repeated(self, raw: bytes) -> int | None:
        """Where a batch stands that an idempotent producer sends again. Any other's is as new."""
        fields = HEADER.unpack_from(raw)
        who, sequence = fields[9:11], fields[11]
        if fields[9] < 0:
            return None
        for base, given in self._last[who]:
            if given == sequence:
                return base
        self._last[who].append((self.end, sequence))
        return None

    def end_transaction(self, producer: int, *, commit: bool) -> None:
        """Write the marker. Nothing, if it has none open here."""
        first = self._open.pop(producer, None)
        if first is None:
            return
        at, self.end = self.end, self.end + 1
        self._batches.append(Batch(at, at, _marker(at, producer, commit=commit), producer, closes=True))
        if not commit:
            self._aborted.append(Aborted(producer, first, at))

    def read(self, offset: int, most: int, isolation: int) -> tuple[bytes, list[Aborted]]:
        """Whole batches from the one with `offset` on, at least one and about `most` bytes; and what to pass over."""
        limit = self.stable if isolation == READ_COMMITTED else self.end
        found: list[bytes] = []
        size, last = 0, offset
        for batch in self._from(offset):
            if batch.base >= limit or (found and size + len(batch.raw) > most):
                break
            found.append(batch.raw)
            size, last = size + len(batch.raw), batch.last
        aborted = [each for each in self._aborted if each.marker >= offset and each.first <= last]
        return b"".join(found), aborted if isolation == READ_COMMITTED else []

    def _from(self, offset: int) -> Iterator[Batch]:
        low, high = 0, len(self._batches)
        while low < high:
            middle = (low + high) // 2
            if self._batches[middle].last < offset:
                low = middle + 1
            else:
                high = middle
        return iter(self._batches[low:])

    def delete_before(self, offset: int) -> None:
        """What retention does, or an operator."""
        self.start = max(self.start, min(offset, self.end))
        self._batches = [batch for batch in self._batches if batch.last >= self.start]

    def truncate(self, end: int) -> None:
        """What an unclean election does: the batches from `end` on were never there."""
        self._batches = [batch for batch in self._batches if batch.last < end]
        self.end = self._batches[-1].last + 1 if self._batches else self.start
        self._open = {producer: first for producer, first in self._open.items() if first < self.end}

    @property
    def data_end(self) -> int:
        """Behind the last record that may be read: markers and what was aborted are nobody's work."""
        return max((record.offset + 1 for record in self._last_records()), default=self.start)

    def _last_records(self) -> Iterator[Any]:
        for batch in reversed(self._batches):
            found = [record for record in self.records(since=batch.base) if record.offset <= batch.last]
            if found:
                yield from found
                return

    def records(self, *, since: int = 0, committed: bool = True) -> Iterator[Any]:
        """What is there, as aiokafka's records. For whoever checks the world, not for workers."""
        passed = {(each.producer, offset) for each in self._aborted for offset in range(each.first, each.marker + 1)}
        for batch in self._from(since):
            if batch.closes or (committed and (batch.producer, batch.base) in passed):
                continue
            if batch.is_strange:
                yield from (Unread(offset, None, batch.raw) for offset in range(batch.base, batch.last + 1))
            else:
                yield from DefaultRecordBatch(batch.raw)


def built(
    records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]], timestamp: int, **of: int
) -> bytes:
    """A batch of key, value, headers, as a producer makes it.

    `producer_id`: of its transaction; `codec`: Kafka's number of the compression.
    """
    producer = of.get("producer_id", -1)
    sequence = 0 if producer >= 0 else -1
    numbers = producer, sequence, sequence
    builder = DefaultRecordBatchBuilder(2, of.get("codec", 0), producer >= 0, *numbers, 16 * 1024 * 1024)
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, list(headers))
    return bytes(builder.build())


def _marker(at: int, producer: int, *, commit: bool) -> bytes:
    key = (0).to_bytes(2, "big") + int(commit).to_bytes(2, "big")
    raw = bytearray(built([(key, bytes(6), ())], 0, producer_id=producer))
    raw[0:8] = at.to_bytes(8, "big")
    raw[ATTRIBUTES : ATTRIBUTES + 2] = (_TRANSACTIONAL | _CONTROL).to_bytes(2, "big")
    raw[_CRC_AT : _CRC_AT + 4] = calc_crc32c(raw[_CRC_FROM:]).to_bytes(4, "big")
    return bytes(raw)
