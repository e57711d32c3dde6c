"""PURE: a batch of records as it stands in Kafka's log, read without trusting a byte of it.

aiokafka's own reader is the fast way. This is the one for what that refuses: header names that are not UTF-8, and
compressed batches, of which a few bytes may hold gigabytes. Format: Kafka's protocol, "Record Batch", version 2.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

#: Bytes of one batch, uncompressed, that are looked at. A producer's is a few hundred KB; a worker has to bear several.
MOST_BYTES = 64 * 1024 * 1024
#: Bytes that are kept of a value that goes on behind those: as many as the largest setting allows, and one more.
MOST_VALUE = 4 * 1024 * 1024 + 1
#: Headers of a long record that are read: each has two bytes or more in it, and takes a hundred times as many here.
MOST_HEADERS = 10_000
_LONG_RECORD = 256 * 1024

HEADER = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES = struct.calcsize(">qiibI")
_LOG_APPEND_TIME = 8


class Unreadable(ValueError):
    """The bytes are no batch of records. The text says what is wrong and holds none of them."""


class RawRecord(NamedTuple):
    """One record. `reason`, `fault`: why it is not whole. `size`: of the value, of which some may be cut then."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    size: int = 0
    reason: str = ""
    fault: str = ""


def read_carefully(batch: bytes, *, whole: bool = True) -> Iterator[RawRecord]:
    """Every offset of an uncompressed batch, as a record: what cannot be read says why. Raises nothing.

    `whole` False: the batch was cut off.
    """
    base, _, _, _, _, attributes, last, first_time, max_time, _, _, _, count = HEADER.unpack_from(batch)
    reader = _Reader(batch, base, max_time if attributes & _LOG_APPEND_TIME else None, first_time)
    following, fault = base, ""
    for _ in range(count):
        try:
            record = reader.record()
        except (Unreadable, IndexError) as error:
            fault = _told(error) if whole else too_large()
            break
        if record.offset < following:
            fault = "a record of the batch cannot be read: its offset is not true"
            break
        following = record.offset + 1
        yield record
        if reader.is_cut_off:
            fault = too_large()
            break
    if fault:
        for offset in range(following, base + last + 1):
            yield RawRecord(offset, max_time, None, None, (), 0, "unreadable", fault)


def _told(error: Unreadable | IndexError) -> str:
    what = str(error) if isinstance(error, Unreadable) else "it is cut off"
    return f"a record of the batch cannot be read: {what}"


def has_long_records(batch: bytes | memoryview) -> bool:
    """Of an uncompressed batch: whether one may have more headers than it is wise to read at once, as aiokafka does."""
    if len(batch) <= _LONG_RECORD:
        return False
    base, _, _, _, _, _, _, first_time, _, _, _, _, count = HEADER.unpack_from(batch)
    reader = _Reader(batch, base, None, first_time)
    try:
        return any(reader.passed() > _LONG_RECORD for _ in range(count))
    except (Unreadable, IndexError):
        return True


def unreadable_batch(batch: bytes | memoryview, why: str) -> Iterator[RawRecord]:
    """Every offset of a batch of which nothing can be read."""
    base, _, _, _, _, _, last, _, max_time, *_ = HEADER.unpack_from(batch)
    for offset in range(base, base + last + 1):
        yield RawRecord(offset, max_time, None, None, (), 0, "unreadable", why)


def too_large() -> str:
    return f"the batch that it is in has more than {MOST_BYTES >> 20} MiB uncompressed"


class _Reader:
    """The records of one batch, from the first on."""

    def __init__(self, batch: bytes | memoryview, base: int, time: int | None, first_time: int) -> None:
        self._batch, self._at = batch, HEADER.size
        self._base, self._time, self._first_time = base, time, first_time

    @property
    def is_cut_off(self) -> bool:
        """The last record goes on behind the end of the bytes."""
        return self._at > len(self._batch)

    def passed(self) -> int:
        """The next one's length; it is not looked at. Raises as `record`."""
        length = self._number()
        self._at += max(0, length)
        return length

    def record(self) -> RawRecord:
        """The next one. Raises Unreadable, or IndexError at the end of the bytes."""
        length = self._number()
        end = self._at + length
        if length < 0:
            raise Unreadable("its length is not true")
        self._at += 1  # attributes: none are defined
        timestamp = self._timestamp(self._number())
        offset = self._base + self._number()
        key = self._bytes()
        value, size = self._value()
        if self.is_cut_off:
            return RawRecord(offset, timestamp, key, value, (), size, "too_large", too_large())
        count = self._number()
        if count > MOST_HEADERS and length > _LONG_RECORD:
            self._at = end
            fault = f"it has {count} headers, and more than {MOST_HEADERS} are not read of a record of {length} bytes"
            return RawRecord(offset, timestamp, key, value, (), max(0, size), "too_large", fault)
        headers = self._headers(count)
        if self._at != end:
            raise Unreadable("its length is not true")
        return RawRecord(offset, timestamp, key, value, headers, max(0, size))

    def _timestamp(self, delta: int) -> int:
        timestamp = self._first_time + delta if self._time is None else self._time
        return timestamp if -(2**63) <= timestamp < 2**63 else -1  # as Kafka writes that there is none

    def _value(self) -> tuple[bytes | None, int]:
        """What is here of it, and the size that it is said to have."""
        size = self._number()
        start, self._at = self._at, self._at + max(0, size)
        kept = min(size, MOST_VALUE) if self.is_cut_off else size
        return None if size < 0 else bytes(self._batch[start : start + kept]), size

    def _headers(self, count: int) -> tuple[tuple[str, bytes | None], ...]:
        """Names that are not UTF-8 get their bytes spelt out: they can be shown, and sent on."""
        if count < 0:
            raise Unreadable("its number of headers is not true")
        found = []
        for _ in range(count):
            name = self._bytes()
            if name is None:
                raise Unreadable("a header has no name")
            found.append((name.decode(errors="backslashreplace"), self._bytes()))
        return tuple(found)

    def _bytes(self) -> bytes | None:
        length = self._number()
        if length < 0:
            return None
        start, self._at = self._at, self._at + length
        if self._at > len(self._batch):
            raise IndexError
        return bytes(self._batch[start : self._at])

    def _number(self) -> int:
        """Kafka's varint: seven bits a byte, zigzag."""
        value = shift = 0
        while True:
            byte = self._batch[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise Unreadable("a number in it has no end")
