"""Batches of records as a producer that is not ours may write them: bytes for a consumer's fetcher."""

import gzip
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cramjam
from aiokafka.record.util import calc_crc32c

_BEFORE_CRC = struct.Struct(">qiib")
_AFTER_CRC = struct.Struct(">hiqqqhii")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Raw(NamedTuple):
    """One record. A header's name may be any bytes."""

    delta: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    time: int = 0


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    found = bytearray()
    while value > 0x7F:
        found.append((value & 0x7F) | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _bytes(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def record(raw: Raw) -> bytes:
    headers = b"".join(_bytes(name) + _bytes(value) for name, value in raw.headers)
    body = b"\0" + varint(raw.time) + varint(raw.delta) + _bytes(raw.key) + _bytes(raw.value)
    body += varint(len(raw.headers)) + headers
    return varint(len(body)) + body


def compressed(codec: str, payload: bytes) -> bytes:
    if codec == "gzip":
        return gzip.compress(payload)
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(payload))
    if codec in ("lz4", "zstd"):
        return bytes((cramjam.lz4 if codec == "lz4" else cramjam.zstd).compress(payload))
    return payload


def batch(
    base: int,
    records: Iterable[Raw] | bytes,
    codec: str = "none",
    *,
    time: int = 0,
    count: int | None = None,
    last: int | None = None,
    flags: int = 0,
    producer: int = -1,
) -> bytes:
    """`records` as bytes: whatever they are, with `count` and `last` as the head says."""
    if not isinstance(records, bytes):
        listed = list(records)
        count = len(listed) if count is None else count
        last = (listed[-1].delta if listed else 0) if last is None else last
        records = b"".join(map(record, listed))
    attributes = CODECS.index(codec) | flags
    checked = _AFTER_CRC.pack(attributes, last or 0, time, time, producer, 0, 0, count or 0)
    checked += compressed(codec, records)
    length = len(checked) + _BEFORE_CRC.size + 4 - 12
    return _BEFORE_CRC.pack(base, length, 0, 2) + struct.pack(">I", calc_crc32c(checked)) + checked
