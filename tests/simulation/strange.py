"""PURE: batches that aiokafka's own reader does not read, or reads with too much memory."""

import gzip
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.simulation.load import Sent, make_more
from tests.support.batches import Raw, batch, record

_GZIP, _UNKNOWN = 1, 5
_MANY_HEADERS, _LONG = 10_001, 300 * 1024
_ORDERS = 3
_SPOILED = Sent("malformed", b"", None, 0, None)
#: With such a name in it a batch is read with care.
_NO_ALPHABET = (b"\xff", b"value")


class Strange(NamedTuple):
    """A batch, and what each of its offsets is: an order, or something that has to become a dead letter."""

    raw: bytes
    sent: list[Sent]


def make_strange(dice: random.Random, partitions: int, timestamp: int) -> Strange:
    """The same dice, the same batch."""
    orders = make_more(dice.getrandbits(32), _ORDERS, partitions)
    return dice.choice(_KINDS)(orders, timestamp)


def _raws(orders: list[Sent], *headers: tuple[bytes, bytes | None]) -> list[Raw]:
    return [Raw(place, each.key, each.value, headers) for place, each in enumerate(orders)]


def _holding(content: bytes, timestamp: int, *, codec: int = 0) -> bytes:
    """A batch whose head is right, whatever it holds."""
    return batch(0, content, time=timestamp, count=_ORDERS, last=_ORDERS - 1, flags=codec)


def _names_in_no_alphabet(orders: list[Sent], timestamp: int) -> Strange:
    return Strange(batch(0, _raws(orders, _NO_ALPHABET), time=timestamp), orders)


def _without_a_name(orders: list[Sent], timestamp: int) -> Strange:
    nameless: Any = [(None, b"value")]
    first, second, third = _raws(orders)
    raw = batch(0, [first, second._replace(headers=nameless), third], time=timestamp)
    return Strange(raw, [orders[0], _SPOILED, _SPOILED])


def _of_a_false_length(orders: list[Sent], timestamp: int) -> Strange:
    """Of its last record."""
    first, second, third = map(record, _raws(orders, _NO_ALPHABET))
    return Strange(_holding(first + second + b"\0" + third, timestamp), [*orders[:2], _SPOILED])


def _at_one_offset_twice(orders: list[Sent], timestamp: int) -> Strange:
    first, second, third = _raws(orders, _NO_ALPHABET)
    raw = batch(0, [first, second._replace(delta=0), third], time=timestamp)
    return Strange(raw, [orders[0], _SPOILED, _SPOILED])


def _that_ends_too_soon(orders: list[Sent], timestamp: int) -> Strange:
    return Strange(_holding(b"".join(map(record, _raws(orders)[:2])), timestamp), [*orders[:2], _SPOILED])


def _with_many_headers(orders: list[Sent], timestamp: int) -> Strange:
    first, *others = _raws(orders)
    long = first._replace(key=b"k" * _LONG, headers=[(b"h", b"")] * _MANY_HEADERS)
    return Strange(batch(0, [long, *others], time=timestamp), [_SPOILED, *orders[1:]])


def _damaged(orders: list[Sent], timestamp: int) -> Strange:
    content = gzip.compress(b"".join(map(record, _raws(orders))))[:-9]
    return Strange(_holding(content, timestamp, codec=_GZIP), [_SPOILED] * _ORDERS)


def _of_no_codec(orders: list[Sent], timestamp: int) -> Strange:
    return Strange(batch(0, _raws(orders), time=timestamp, flags=_UNKNOWN), [_SPOILED] * _ORDERS)


def _of_blanks(codec: str) -> Callable[[list[Sent], int], Strange]:
    """Of which a few bytes hold many."""

    def make(orders: list[Sent], timestamp: int) -> Strange:
        records = [Raw(0, None, b" " * _LONG), *_raws(orders)[1:]]
        return Strange(batch(0, records, codec, time=timestamp), [_SPOILED, *orders[1:]])

    return make


def _in_more_files(orders: list[Sent], timestamp: int) -> Strange:
    content = b"".join(gzip.compress(record(each)) for each in _raws(orders))
    return Strange(_holding(content, timestamp, codec=_GZIP), orders)


def _in_one_block(orders: list[Sent], timestamp: int) -> Strange:
    """As librdkafka writes snappy."""
    return Strange(batch(0, _raws(orders), "snappy", time=timestamp), orders)


_KINDS: tuple[Callable[[list[Sent], int], Strange], ...] = (
    _names_in_no_alphabet,
    _without_a_name,
    _of_a_false_length,
    _at_one_offset_twice,
    _that_ends_too_soon,
    _with_many_headers,
    _damaged,
    _of_no_codec,
    _of_blanks("lz4"),
    _of_blanks("zstd"),
    _in_more_files,
    _in_one_block,
)
