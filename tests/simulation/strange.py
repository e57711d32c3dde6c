"""PURE: batches that aiokafka's own reader does not read, or reads with too much memory."""

import gzip
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cramjam
from aiokafka.record.util import calc_crc32c, encode_varint

from creditstream.kafka.batches import HEADER
from tests.simulation.load import Sent, make_more

_GZIP, _SNAPPY, _LZ4, _ZSTD, _UNKNOWN = 1, 2, 3, 4, 5
_MANY_HEADERS, _LONG = 10_001, 300 * 1024
#: Bytes of the head up to its length's end, to the checksum, and to what the checksum is of.
_BEFORE, _CRC_AT, _CRC_FROM = 12, 17, 21
_ORDERS = 3
_SPOILED = Sent("malformed", b"", None, 0, None)


class Strange(NamedTuple):
    """A batch, and what each of its offsets is: an order, or something that has to become a dead letter."""

    raw: bytes
    sent: list[Sent]


def make_strange(dice: random.Random, partitions: int, timestamp: int) -> Strange:
    """The same dice, the same batch."""
    orders = make_more(dice.getrandbits(32), _ORDERS, partitions)
    return dice.choice(_KINDS)(orders, timestamp)


def _batch(records: Sequence[bytes], timestamp: int, *, codec: int = 0, content: bytes | None = None) -> bytes:
    """`content`: of the records, if it is not they."""
    payload = b"".join(records) if content is None else content
    last = len(records) - 1
    length = HEADER.size + len(payload) - _BEFORE
    fields = (0, length, 0, 2, 0, codec, last, timestamp, timestamp, -1, -1, -1, len(records))
    raw = bytearray(HEADER.pack(*fields) + payload)
    raw[_CRC_AT:_CRC_FROM] = calc_crc32c(raw[_CRC_FROM:]).to_bytes(4, "big")
    return bytes(raw)


def _record(
    place: int,
    sent: Sent,
    headers: Sequence[tuple[bytes | None, bytes]] = (),
    *,
    lie: int = 0,
    key: bytes | None = None,
) -> bytes:
    """`lie`: so many bytes its length says too much."""
    body = bytearray(1)
    for number in (0, place):
        encode_varint(number, body.append)
    for part in (key or sent.key, sent.value):
        _part(body, part)
    encode_varint(len(headers), body.append)
    for name, value in headers:
        _part(body, name)
        _part(body, value)
    length = bytearray()
    encode_varint(len(body) + lie, length.append)
    return bytes(length + body)


def _part(body: bytearray, part: bytes | None) -> None:
    encode_varint(-1 if part is None else len(part), body.append)
    body += part or b""


def _plain(orders: list[Sent]) -> list[bytes]:
    return [_record(place, each) for place, each in enumerate(orders)]


def _names_in_no_alphabet(orders: list[Sent], timestamp: int) -> Strange:
    records = [_record(place, each, [(b"\xff\xfename", b"value")]) for place, each in enumerate(orders)]
    return Strange(_batch(records, timestamp), orders)


def _without_a_name(orders: list[Sent], timestamp: int) -> Strange:
    records = _plain(orders)
    records[1] = _record(1, orders[1], [(None, b"value")])
    return Strange(_batch(records, timestamp), [orders[0], _SPOILED, _SPOILED])


def _of_a_false_length(orders: list[Sent], timestamp: int) -> Strange:
    records = _plain(orders)
    records[1] = _record(1, orders[1], [(b"\xff", b"value")], lie=1)
    return Strange(_batch(records, timestamp), [orders[0], _SPOILED, _SPOILED])


def _at_one_offset_twice(orders: list[Sent], timestamp: int) -> Strange:
    records = [_record(place, each, [(b"\xff", b"")]) for place, each in zip((0, 0, 2), orders, strict=True)]
    return Strange(_batch(records, timestamp), [orders[0], _SPOILED, _SPOILED])


def _that_ends_too_soon(orders: list[Sent], timestamp: int) -> Strange:
    records = _plain(orders)
    return Strange(_batch(records, timestamp, content=b"".join(records[:2])), [*orders[:2], _SPOILED])


def _with_many_headers(orders: list[Sent], timestamp: int) -> Strange:
    long = _record(0, orders[0], [(b"h", b"")] * _MANY_HEADERS, key=b"k" * _LONG)
    return Strange(_batch([long, *_plain(orders)[1:]], timestamp), [_SPOILED, *orders[1:]])


def _damaged(orders: list[Sent], timestamp: int) -> Strange:
    content = gzip.compress(b"".join(_plain(orders)), mtime=0)[:-9]
    return Strange(_batch(_plain(orders), timestamp, codec=_GZIP, content=content), [_SPOILED] * len(orders))


def _of_no_codec(orders: list[Sent], timestamp: int) -> Strange:
    return Strange(_batch(_plain(orders), timestamp, codec=_UNKNOWN), [_SPOILED] * len(orders))


def _of_blanks(codec: int, compress: Callable[[bytes], Any]) -> Callable[[list[Sent], int], Strange]:
    """Of which a few bytes hold many."""

    def make(orders: list[Sent], timestamp: int) -> Strange:
        blanks = _record(0, _SPOILED._replace(value=b" " * _LONG))
        records = [blanks, *_plain(orders)[1:]]
        content = bytes(compress(b"".join(records)))
        return Strange(_batch(records, timestamp, codec=codec, content=content), [_SPOILED, *orders[1:]])

    return make


def _in_two_files(orders: list[Sent], timestamp: int) -> Strange:
    records = _plain(orders)
    content = b"".join(gzip.compress(each, mtime=0) for each in records)
    return Strange(_batch(records, timestamp, codec=_GZIP, content=content), orders)


def _in_one_block(orders: list[Sent], timestamp: int) -> Strange:
    """As librdkafka writes snappy."""
    content = bytes(cramjam.snappy.compress_raw(b"".join(_plain(orders))))
    return Strange(_batch(_plain(orders), timestamp, codec=_SNAPPY, content=content), orders)


_KINDS: tuple[Callable[[list[Sent], int], Strange], ...] = (
    _names_in_no_alphabet,
    _without_a_name,
    _of_a_false_length,
    _at_one_offset_twice,
    _that_ends_too_soon,
    _with_many_headers,
    _damaged,
    _of_no_codec,
    _of_blanks(_LZ4, cramjam.lz4.compress),
    _of_blanks(_ZSTD, cramjam.zstd.compress),
    _in_two_files,
    _in_one_block,
)
