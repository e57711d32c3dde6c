"""Batches of records in any state, read by aiokafka's fetcher with our reader in it: every offset has its record."""

import gzip
import math
import struct
from types import SimpleNamespace
from typing import Any

import cramjam
import pytest
from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from creditstream.kafka import decompression, reading
from creditstream.kafka.batches import (
    ATTRIBUTES,
    HEADER,
    MOST_BYTES,
    MOST_VALUE,
    Unreadable,
    read_carefully,
    unreadable_batch,
)
from creditstream.kafka.decompression import is_compressed, uncompressed
from creditstream.kafka.offsets import Progress
from creditstream.kafka.reading import FaultyRecord, Hole, read_whatever_kafka_has, with_holes
from tests.support.batches import CODECS, Raw, batch, record, varint

TP = TopicPartition("orders", 0)
_LOG_APPEND, _TRANSACTIONAL, _CONTROL = 0x08, 0x10, 0x20
_ABORT = Raw(0, b"\0\0\0\0", b"\0\0\0\0\0\0")

read_whatever_kafka_has()

moments = st.integers(-(2**62), 2**62)


def parts_of(data: bytes) -> list[bytes | None]:
    """Pieces of any bytes, and nulls among them: one draw for a whole batch, where a strategy for each is slow."""
    return [None if piece == b"" else piece.replace(b"\xfe", b"") for piece in data.split(b"\xff")]


def answer(data: bytes, *, tp: TopicPartition = TP, start: int = 0, aborted: Any = None) -> Any:
    """What a fetch gives, as the fetcher makes it."""
    module: Any = fetcher
    records = module.PartitionRecords(
        tp, module.MemoryRecords(data), aborted, start, None, None, True, fetcher.READ_COMMITTED
    )
    state = SimpleNamespace(position=start, paused=False)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    result = module.FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)
    return SimpleNamespace(result=result, state=state)


def read(data: bytes, **options: Any) -> list[Any]:
    return list(answer(data, **options).result.getall())


@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=120), st.integers(0, 4), moments, st.integers(0, 2**60))
def test_whatever_is_in_a_batch_is_read(data: bytes, codec: int, time: int, base: int) -> None:
    pieces = parts_of(data)
    names = [piece or b"" for piece in pieces]
    sent = [
        Raw(delta, pieces[-1 - delta], piece, list(zip(names, pieces, strict=True))[: delta % 5], time // (delta + 2))
        for delta, piece in enumerate(pieces)
    ]
    found = read(batch(base, sent, CODECS[codec], time=time // 2), start=base)
    assert [each.offset for each in found] == [base + raw.delta for raw in sent]
    assert [(each.key, each.value) for each in found] == [(raw.key, raw.value) for raw in sent]
    assert [each.timestamp for each in found] == [time // 2 + raw.time for raw in sent]
    for each, raw in zip(found, sent, strict=True):
        assert list(each.headers) == [(name.decode(errors="backslashreplace"), value) for name, value in raw.headers]
        assert all(name.encode() for name, _ in each.headers if name), "names can be sent on"


@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=80), st.sampled_from(CODECS), st.integers(1, 6), st.booleans())
def test_whatever_the_bytes_are_every_offset_has_a_record_and_nothing_is_raised(
    payload: bytes, codec: str, count: int, good_first: bool
) -> None:
    if good_first:
        payload = record(Raw(0, b"k", b"v")) + payload
    found = read(batch(7, payload, codec, count=count, last=count - 1), start=7)
    offsets = [each.offset for each in found]
    assert offsets == sorted(set(offsets)) and set(offsets) <= set(range(7, 7 + count))
    faulty = [each for each in found if isinstance(each, FaultyRecord)]
    assert {each.reason for each in faulty} <= {"unreadable", "too_large"} and all(each.fault for each in faulty)
    if good_first:
        assert (found[0].key, found[0].value) == (b"k", b"v")


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_payload_that_is_not_compressed_so_is_unreadable(codec: str) -> None:
    data = bytearray(batch(3, [Raw(0, b"k", b"v" * 100), Raw(1)], codec))
    garbled = batch(3, b"no such thing" * 9, "none", count=2, last=1, flags=CODECS.index(codec))
    found = read(garbled, start=3)
    assert [(each.offset, each.reason) for each in found] == [(3, "unreadable"), (4, "unreadable")]
    assert [each.offset for each in read(bytes(data), start=3)] == [3, 4]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_few_bytes_that_hold_a_huge_value_are_cut(codec: str) -> None:
    sent = [Raw(0, b"k", b"good"), Raw(1, b"k", b"a" * (MOST_BYTES + 1)), Raw(2, b"k", b"behind")]
    first, huge, behind = read(batch(0, sent, codec))
    assert first.value == b"good"
    assert (huge.reason, huge.size, len(huge.value)) == ("too_large", MOST_BYTES + 1, MOST_VALUE)
    assert (behind.offset, behind.reason) == (2, "unreadable")


@pytest.mark.parametrize("name", [b"h", b"\xff"])
def test_a_value_is_read_whole_up_to_what_is_looked_at(name: bytes) -> None:
    [found] = read(batch(0, [Raw(0, None, b"a" * 10_000_000, [(name, None)])], "gzip"))
    assert len(found.value) == 10_000_000 and not isinstance(found, FaultyRecord)


def test_what_was_aborted_and_markers_are_holes() -> None:
    aborted = batch(0, [Raw(0, None, b"x"), Raw(1, None, b"y")], flags=_TRANSACTIONAL, producer=5)
    marker = batch(2, [_ABORT], flags=_TRANSACTIONAL | _CONTROL, producer=5)
    good = batch(3, [Raw(0, None, b"z")])
    last = batch(4, [_ABORT], flags=_TRANSACTIONAL | _CONTROL, producer=6)
    fetched = answer(aborted + marker + good + last, aborted=[(5, 0)])
    found = fetched.result.getall()
    assert [each.value for each in found] == [b"z"]
    assert fetched.state.read == (0, 5)
    assert [each if isinstance(each, Hole) else each.offset for each in with_holes(found, *fetched.state.read)] == [
        Hole(0, 3),
        3,
        Hole(4, 5),
    ]


@given(st.sets(st.integers(0, 30)), st.integers(0, 10), st.integers(1, 40))
def test_records_and_holes_together_are_all_that_was_read(offsets: set[int], start: int, length: int) -> None:
    end = start + length
    records = [SimpleNamespace(offset=offset) for offset in sorted(offsets) if start <= offset < end]
    covered: list[int] = []
    for each in with_holes(list(records), start, end):
        covered += range(each.after, each.until) if isinstance(each, Hole) else [each.offset]
    assert covered == list(range(start, end))


def test_a_hole_is_passed_over_only_when_all_before_it_was_delivered() -> None:
    progress = Progress(3)
    progress.pass_over(5, 9)
    assert (progress.expected, progress.position) == (3, 3), "3 and 4 were fetched and thrown away: read again first"
    progress.pass_over(3, 5)
    progress.pass_over(5, 9)
    assert (progress.expected, progress.position) == (9, 9), "the offset to commit is behind the marker"
    progress.pass_over(2, 4)
    assert progress.expected == 9, "read a second time"


def test_a_number_without_an_end_ends() -> None:
    assert len(varint(-1)) == 1 and math.isfinite(1.0)
    [found] = read(batch(0, b"\xff" * 30, count=1, last=0))
    assert (found.reason, found.value) == ("unreadable", None)


@pytest.mark.parametrize("codec", CODECS)
def test_millions_of_headers_in_a_few_bytes_are_not_all_made(codec: str) -> None:
    """aiokafka makes a tuple of each: 3 million took 700 MB and half a minute, of a record of 6 KB."""
    short = [Raw(0, b"k", b"before", [(b"h", b"v")]), Raw(2, b"k", b"behind", [(b"h", b"v")])]
    body = b"\0" + varint(0) + varint(1) + varint(-1) + varint(5) + b"value" + varint(3_000_000) + b"\0\1" * 3_000_000
    payload = record(short[0]) + varint(len(body)) + body + record(short[1])
    before, found, behind = read(batch(0, payload, codec, count=3, last=2))
    assert isinstance(found, FaultyRecord) and "3000000 headers" in found.fault
    assert (found.offset, found.value, found.headers, found.reason, found.size) == (1, b"value", (), "too_large", 5)
    for each, value in ((before, b"before"), (behind, b"behind")):
        assert not isinstance(each, FaultyRecord)
        assert (each.value, list(each.headers)) == (value, [("h", b"v")])


def test_a_long_record_with_few_headers_is_read_whole() -> None:
    headers = [(b"h", b"v" * 1_000)] * 1_000
    [found] = read(batch(0, [Raw(0, b"k" * 1_000, b"v" * 100_000, headers)]))
    assert not isinstance(found, FaultyRecord) and len(found.headers) == 1_000


@pytest.mark.parametrize(("count", "reason"), [(10_000, ""), (10_001, "too_large")])
def test_of_a_long_record_so_many_headers_are_read(count: int, reason: str) -> None:
    sent = [Raw(0, None, b"v" * 300_000, [(b"h", b"v")] * count)]
    assert [getattr(each, "reason", "") for each in read(batch(0, sent))] == [reason]


def test_the_careful_way_gives_what_the_fast_one_gives() -> None:
    """What is empty is not what is missing."""
    sent = [Raw(0, None, None), Raw(1, b"", b""), Raw(2, b"k", b"value"), Raw(3, b"k", b"v", time=7)]
    fast = read(batch(5, [each._replace(headers=[(b"h", b""), (b"", None)]) for each in sent], time=9), start=5)
    careful = read(batch(5, [each._replace(headers=[(b"\xff", b""), (b"", None)]) for each in sent], time=9), start=5)
    for plain, found in zip(fast, careful, strict=True):
        assert (list(plain.headers), list(found.headers)) == ([("h", b""), ("", None)], [("\\xff", b""), ("", None)])
        for name in ("topic", "partition", "offset", "timestamp", "key", "value"):
            assert getattr(plain, name) == getattr(found, name)
        assert plain.serialized_key_size == found.serialized_key_size
        assert plain.serialized_value_size == found.serialized_value_size


@pytest.mark.parametrize("length", [-5, -1])
def test_a_record_whose_length_is_not_true_is_unreadable_whatever_else_it_says(length: int) -> None:
    payload = varint(length) + b"\0" + varint(0) + varint(0) + varint(-1) + varint(100_000)
    [found] = read(batch(0, payload, count=1, last=0))
    assert (found.reason, found.fault) == ("unreadable", "a record of the batch cannot be read: its length is not true")


def test_behind_an_offset_that_is_not_true_nothing_of_the_batch_is_read() -> None:
    sent = [Raw(1, None, b"read"), Raw(0), Raw(2, None, b"in doubt"), Raw(3)]
    first, *others = read_carefully(batch(7, sent))
    assert (first.offset, first.value, first.fault) == (8, b"read", "")
    assert [(each.offset, each.value, each.reason) for each in others] == [
        (9, None, "unreadable"),
        (10, None, "unreadable"),
    ]


def test_a_batch_is_read_in_one_way_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful way is for what the fast one leaves, and has nothing to say of what cannot be decompressed."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr(reading, "read_carefully", forbidden)
    garbled = batch(5, b"no such thing" * 9, count=2, last=1, flags=CODECS.index("gzip"))
    assert [each.offset for each in read(batch(3, [Raw(0), Raw(1)]) + garbled, start=3)] == [3, 4, 5, 6]


def test_a_record_is_as_old_as_its_batch_says() -> None:
    """By the producer's clock, or by the broker's when it wrote the batch. What is no number of 64 bits is no time."""
    sent = [Raw(0, time=5), Raw(1, time=7)]
    for flags, times in ((0, [105, 107]), (_LOG_APPEND, [100, 100])):
        assert [each.timestamp for each in read_carefully(batch(0, sent, time=100, flags=flags))] == times
    latest, earliest = 2**63 - 1, -(2**63)
    for first, delta, time in ((latest, 0, latest), (latest, 1, -1), (earliest, 0, earliest), (earliest, -1, -1)):
        [found] = read_carefully(batch(0, [Raw(0, time=delta)], time=first))
        assert found.timestamp == time


def test_a_batch_of_which_nothing_can_be_read_has_all_its_offsets_and_no_more() -> None:
    found = list(unreadable_batch(batch(7, b"", count=3, last=2), "why"))
    assert [(each.offset, each.reason, each.fault) for each in found] == [
        (offset, "unreadable", "why") for offset in (7, 8, 9)
    ]


def test_from_where_it_was_read_is_told() -> None:
    fetched = answer(batch(7, [Raw(0, b"k", b"v"), Raw(1, b"k", b"v")]), start=7)
    assert len(fetched.result.getall()) == 2
    assert fetched.state.read == (7, 9)
    assert with_holes([], 7, 9) == [Hole(7, 9)]


# -- compressed batches


def framed(payload: bytes) -> bytes:
    """As snappy-java writes it: a head, then blocks with their lengths."""
    blocks = [bytes(cramjam.snappy.compress_raw(part)) for part in (payload[:50], payload[50:])]
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(each)) + each for each in blocks)


_SENT = [Raw(delta, b"k", b"value %d" % delta) for delta in range(20)]


@pytest.mark.parametrize("flags", [0, _LOG_APPEND, _TRANSACTIONAL])
@pytest.mark.parametrize("codec", CODECS[1:])
def test_an_uncompressed_batch_is_the_same_batch(codec: str, flags: int) -> None:
    """So that it can be read the fast way."""
    packed, plain = batch(3, _SENT, codec, flags=flags), batch(3, _SENT, flags=flags)
    assert is_compressed(packed) and not is_compressed(plain)
    found, whole = uncompressed(packed)
    assert whole and not is_compressed(found)
    assert found[ATTRIBUTES:] == plain[ATTRIBUTES:]


def test_a_batch_in_several_blocks_is_read_whole() -> None:
    payload = b"".join(map(record, _SENT))
    data = batch(3, framed(payload), flags=CODECS.index("snappy"), count=20, last=19)
    found = read(data, start=3)
    assert [(each.offset, each.value) for each in found] == [(3 + raw.delta, raw.value) for raw in _SENT]
    for damage in (data[:-1] + b"\0" * 9, data[:-3]):
        with pytest.raises(Unreadable):
            uncompressed(damage)


def test_a_batch_in_several_files_is_read_whole_and_one_that_ends_too_soon_is_unreadable() -> None:
    payload = b"".join(map(record, _SENT))
    packed = gzip.compress(payload[:50]) + gzip.compress(payload[50:])
    data = batch(3, packed, flags=CODECS.index("gzip"), count=20, last=19)
    assert uncompressed(data)[0][HEADER.size :] == payload
    with pytest.raises(Unreadable, match="it ends too soon"):
        uncompressed(data[:-9])


def test_what_cannot_be_read_has_no_size_and_says_why() -> None:
    good = record(Raw(0, None, b"{}"))
    lost = read(batch(7, good + good[:-1]))
    assert [(each.offset, getattr(each, "size", None)) for each in lost[1:]] == [(8, 0)] * (len(lost) - 1)


@pytest.mark.parametrize("seconds", [-65, -64, -63, 63, 64])
def test_numbers_of_one_byte_and_of_two(seconds: int) -> None:
    """-64 is the largest of one byte."""
    names = [(b"\xff", None)]
    [_, second] = read(batch(0, [Raw(0, None, b"{}", names, 0), Raw(1, None, b"{}", names, seconds)]))
    assert second.timestamp - read(batch(0, [Raw(0, None, b"{}", names, 0)]))[0].timestamp == seconds


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_damaged_batch_is_no_large_one(codec: str) -> None:
    whole = batch(0, [Raw(0, None, b"{}" * 500)], codec)
    with pytest.raises(Unreadable, match="cannot be decompressed: DecompressionError"):
        uncompressed(whole[: HEADER.size] + b"\0" * (len(whole) - HEADER.size))


def test_blocks_that_are_too_much_together_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "MOST_BYTES", 150)
    block = bytes(cramjam.snappy.compress_raw(b"x" * 100))
    blocks = b"\x82SNAPPY\x00" + bytes(8) + 2 * (len(block).to_bytes(4, "big") + block)
    assert decompression._unsnapped(blocks) == (b"x" * 150, False)
