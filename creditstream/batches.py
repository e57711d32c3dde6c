"""PURE: a batch of records as it stands in Kafka's log, read without trusting a byte of it.

aiokafka's own reader is the fast way. This is the one for what that refuses: header names that are not UTF-8, and
compressed batches, of which a few bytes may hold gigabytes. Format: Kafka's protocol, "Record Batch", version 2.
"""

import struct
import zlib
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import cramjam

#: Bytes of one batch, uncompressed, that are looked at. A producer's is a few hundred KB; a worker has to bear several.
MOST_BYTES = 64 * 1024 * 1024
#: Bytes of a value that are kept: as long as the largest that a setting can allow, and one more.
MOST_VALUE = 4 * 1024 * 1024 + 1

_HEADER = struct.Struct(">qiibIhiqqqhii")
_ATTRIBUTES = struct.calcsize(">qiibI")
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_ANY_GZIP = 31
#: snappy-java's frames: magic and two versions, then blocks with their lengths.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16
_FIRST_GUESS = 8


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


def is_compressed(batch: bytes | memoryview) -> bool:
    """Of a batch of version 2."""
    return bool(batch[_ATTRIBUTES + 1] & _CODEC)


def uncompressed(batch: bytes | memoryview) -> tuple[bytes, bool]:
    """The same batch with its records uncompressed, and whether that is all of it. Raises Unreadable.

    The checksum is not that of the result: look at it before.
    """
    codec = batch[_ATTRIBUTES + 1] & _CODEC
    payload, whole = _decompressed(codec, bytes(batch[_HEADER.size :]))
    head = bytearray(batch[: _HEADER.size])
    head[_ATTRIBUTES + 1] &= ~_CODEC & 0xFF
    return bytes(head) + payload, whole


def _decompressed(codec: int, payload: bytes) -> tuple[bytes, bool]:
    try:
        if codec == _GZIP:
            return _gunzipped(payload)
        if codec == _SNAPPY:
            return _unsnapped(payload)
        if codec in (_LZ4, _ZSTD):
            return _unpacked(cramjam.lz4 if codec == _LZ4 else cramjam.zstd, payload)
    except (cramjam.DecompressionError, zlib.error, struct.error, OverflowError, MemoryError) as error:
        raise Unreadable(f"the batch cannot be decompressed: {type(error).__name__}") from None
    raise Unreadable(f"compression {codec} is not one that Kafka has")


def _gunzipped(payload: bytes) -> tuple[bytes, bool]:
    """All members of the file."""
    found = bytearray()
    while payload:
        member = zlib.decompressobj(_ANY_GZIP)
        found += member.decompress(payload, MOST_BYTES + 1 - len(found))
        if len(found) > MOST_BYTES:
            return bytes(found[:MOST_BYTES]), False
        if not member.eof:
            raise Unreadable("the batch cannot be decompressed: it ends too soon")
        payload = member.unused_data
    return bytes(found), True


def _unpacked(module: ModuleType, payload: bytes) -> tuple[bytes, bool]:
    """cramjam fills the room that it gets and then says that it is too small; how much it needs, it cannot know."""
    room = min(MOST_BYTES, _FIRST_GUESS * max(len(payload), 8_192))
    while True:
        buffer = bytearray(room)
        try:
            return bytes(buffer[: module.decompress_into(payload, buffer)]), True
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
        if room == MOST_BYTES:
            return bytes(buffer), False
        room = min(MOST_BYTES, _FIRST_GUESS * room)


def _unsnapped(payload: bytes) -> tuple[bytes, bool]:
    if not payload.startswith(_XERIAL):
        return _unsnapped_block(payload, MOST_BYTES)
    found, at = bytearray(), _XERIAL_HEADER
    while at < len(payload):
        (length,) = struct.unpack_from(">i", payload, at)
        if length <= 0:
            raise Unreadable("the batch cannot be decompressed: a block without a length")
        block, whole = _unsnapped_block(payload[at + 4 : at + 4 + length], MOST_BYTES - len(found))
        found += block
        if not whole:
            return bytes(found), False
        at += 4 + length
    return bytes(found), True


def _unsnapped_block(block: bytes, most: int) -> tuple[bytes, bool]:
    """A block says how long it is; there is no way to have only some of it."""
    if cramjam.snappy.decompress_raw_len(block) > MOST_BYTES:
        raise Unreadable(_too_large())
    found = bytes(cramjam.snappy.decompress_raw(block))
    return found[:most], len(found) <= most


def read_carefully(batch: bytes, *, whole: bool = True) -> Iterator[RawRecord]:
    """Every offset of an uncompressed batch, as a record: what cannot be read says why. Raises nothing.

    `whole` False: the batch was cut off.
    """
    base, _, _, _, _, attributes, last, first_time, max_time, _, _, _, count = _HEADER.unpack_from(batch)
    reader = _Reader(batch, base, max_time if attributes & _LOG_APPEND_TIME else None, first_time)
    following, fault = base, ""
    for _ in range(count):
        try:
            record = reader.record()
        except (Unreadable, IndexError) as error:
            what = str(error) if isinstance(error, Unreadable) else "it is cut off"
            fault = f"a record of the batch cannot be read: {what}" if whole else _too_large()
            break
        if record.offset < following:
            fault = "a record of the batch cannot be read: its offset is not true"
            break
        following = record.offset + 1
        yield record
        if record.fault:
            fault = _too_large()
            break
    if fault:
        for offset in range(following, base + last + 1):
            yield RawRecord(offset, max_time, None, None, (), 0, "unreadable", fault)


def unreadable_batch(batch: bytes | memoryview, why: str) -> Iterator[RawRecord]:
    """Every offset of a batch of which nothing can be read."""
    base, _, _, _, _, _, last, _, max_time, *_ = _HEADER.unpack_from(batch)
    for offset in range(base, base + last + 1):
        yield RawRecord(offset, max_time, None, None, (), 0, "unreadable", why)


def _too_large() -> str:
    return f"the batch that it is in has more than {MOST_BYTES >> 20} MiB uncompressed"


class _Reader:
    """The records of one batch, from the first on."""

    def __init__(self, batch: bytes, base: int, time: int | None, first_time: int) -> None:
        self._batch, self._at = batch, _HEADER.size
        self._base, self._time, self._first_time = base, time, first_time

    def record(self) -> RawRecord:
        """The next one. Raises Unreadable, or IndexError at the end of the bytes."""
        length = self._number()
        end = self._at + length
        if length < 0:
            raise Unreadable("its length is not true")
        self._at += 1  # attributes: none are defined
        delta = self._number()
        offset = self._base + self._number()
        timestamp = self._first_time + delta if self._time is None else self._time
        key = self._bytes()
        size = self._number()
        start, self._at = self._at, self._at + max(0, size)
        value = None if size < 0 else bytes(self._batch[start : start + min(size, MOST_VALUE)])
        if self._at > len(self._batch):
            return RawRecord(offset, timestamp, key, value, (), size, "too_large", _too_large())
        headers = self._headers()
        if self._at != end:
            raise Unreadable("its length is not true")
        return RawRecord(offset, timestamp, key, value, headers, max(0, size))

    def _headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """Names that are not UTF-8 get their bytes spelt out: they can be shown, and sent on."""
        count = self._number()
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
