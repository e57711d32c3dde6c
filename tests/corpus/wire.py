"""PURE: record batches as brokers keep them (message format 2), read without a client: no header name ends it."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from aiokafka import codec
from aiokafka.record.util import decode_varint

#: Base offset, length of what follows it, leader's epoch, version, checksum, attributes, last offset's distance, first
#: and last timestamp, producer's id and epoch, first sequence, records.
_HEAD = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH_ENDS = 12
_CODEC, _CONTROL = 0x07, 0x20
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda packed: packed,
    "gzip": codec.gzip_decode,
    "snappy": codec.snappy_decode,
    "lz4": codec.lz4_decode,
    "zstd": codec.zstd_decode,
}

Headers = tuple[tuple[str, bytes | None], ...]


class Found(NamedTuple):
    """A record. A header's value may be null; of its name, what is no UTF-8 is replaced."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Batch(NamedTuple):
    """`spans`: the offsets that it spans."""

    first: int
    spans: int
    codec: str
    is_control: bool
    packed: bytes

    def records(self, partition: int) -> Iterator[Found]:
        """None of a marker."""
        content, at = (b"", 0) if self.is_control else (_UNPACK[self.codec](self.packed), 0)
        while at < len(content):
            length, at = decode_varint(content, at)
            yield _record(_Reader(content, at + 1), partition, self.first)
            at += length


def batches(raw: bytes) -> Iterator[Batch]:
    """The whole ones in the answer to a fetch; the last one may be cut off."""
    at = 0
    while at + _HEAD.size <= len(raw):
        first, length, _, _, _, attributes, distance, *_ = _HEAD.unpack_from(raw, at)
        start, at = at + _HEAD.size, at + _BEFORE_LENGTH_ENDS + length
        if at <= len(raw):
            packed = bytes(raw[start:at])
            yield Batch(first, distance + 1, CODECS[attributes & _CODEC], bool(attributes & _CONTROL), packed)


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at

    def number(self) -> int:
        number, self._at = decode_varint(self._content, self._at)
        return int(number)

    def part(self) -> bytes | None:
        """None: null."""
        length = self.number()
        if length < 0:
            return None
        start, self._at = self._at, self._at + length
        return bytes(self._content[start : self._at])


def _record(reader: _Reader, partition: int, first: int) -> Found:
    reader.number()  # the timestamp's distance
    offset = first + reader.number()
    key, value = reader.part(), reader.part()
    pairs = [(reader.part() or b"", reader.part()) for _ in range(reader.number())]
    headers = tuple((name.decode(errors="replace"), text) for name, text in pairs)
    return Found(partition, offset, key, value, headers)
