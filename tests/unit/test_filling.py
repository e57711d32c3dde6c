"""A table is filled from its changelog while orders flow: what is whole, from where it is read, what breaks it off."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka import filling
from creditstream.kafka.filling import Filling
from creditstream.kafka.table_files import DiskTrouble
from devtools.wait import wait_for_async

TOPIC = "seen-changelog"
Item = tuple[bytes | None, bytes | None]


class Changelog:
    """Partitions of records, and a consumer of them in aiokafka's place."""

    def __init__(self) -> None:
        self.records: dict[int, list[Item]] = defaultdict(list)
        self.first: dict[int, int] = defaultdict(int)
        self.failures: list[Exception] = []
        self.on_read: Callable[[], object] = lambda: None
        self._at: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self.stopped = 0

    def __call__(self, **_: object) -> "Changelog":
        return self

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop()

    async def stop(self) -> None:
        self.stopped += 1

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._at, self._paused = dict.fromkeys(partitions, 0), set()

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {tp: self.first[tp.partition] for tp in partitions}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {tp: len(self.records[tp.partition]) for tp in partitions}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        self._paused.add(tp)

    async def position(self, tp: TopicPartition) -> int:
        await asyncio.sleep(0)
        return self._at[tp]

    async def getmany(self, *, max_records: int, **_: object) -> Mapping[TopicPartition, list[Any]]:
        self.on_read()
        await asyncio.sleep(0)
        found = {}
        for tp in self._at.keys() - self._paused:
            start = self._at[tp]
            read = self.records[tp.partition][start : start + max_records]
            if read:
                self._at[tp] += len(read)
                found[tp] = [SimpleNamespace(key=k, value=v, offset=start + n) for n, (k, v) in enumerate(read)]
        return found


class Files:
    """Partitions as dicts, each with an offset."""

    def __init__(self) -> None:
        self.items: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.offsets: dict[int, int] = {}
        self.whole: set[int] = set()
        self.behind: dict[int, int] = defaultdict(int)
        self.broken: set[int] = set()
        self.unusable: set[int] = set()
        self.calls: list[str] = []
        self.opens = False

    def doubt(self) -> None:
        self.whole.clear()
        self.calls.append("doubt")

    def keep(self, partitions: frozenset[int]) -> None:
        self.whole.clear()
        self.calls.append(f"keep {sorted(partitions)}")

    def open(self, partition: int) -> bool:
        if partition in self.unusable:
            raise DiskTrouble("seen[0]: IO error: No space left on device")
        self.calls.append(f"open {partition}")
        return self.opens

    def is_whole(self, partition: int) -> bool:
        return partition in self.whole

    def declare_whole(self, partition: int) -> None:
        self.whole.add(partition)

    def behind_marks(self, partition: int) -> int:
        return self.behind[partition]

    def persisted_offset(self, tp: TP) -> int | None:
        return self.offsets.get(tp.partition)

    def forget(self, tp: TP) -> None:
        self.offsets.pop(tp.partition, None)
        self.behind.pop(tp.partition, None)

    def fill(self, tp: TP, items: Iterable[tuple[bytes, bytes | None]], last_offset: int) -> bool:
        if tp.partition in self.broken:
            self.broken.discard(tp.partition)
            self.items[tp.partition].clear()
            self.offsets.pop(tp.partition, None)
            return False
        for key, value in items:
            if value is None:
                self.items[tp.partition].pop(key, None)
            else:
                self.items[tp.partition][key] = value
        self.offsets[tp.partition] = last_offset
        return True

    def on_disk(self) -> Mapping[int, Path]:
        return {}


class Rig:
    """One worker's table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log, self.files, self.slices = Changelog(), Files(), list[int]()
        monkeypatch.setattr(filling, "AIOKafkaConsumer", self.log)
        monkeypatch.setattr(filling, "stop", lambda consumer: consumer.stop())
        monkeypatch.setattr(filling, "_SLICE", 3)
        table: Any = SimpleNamespace(name="seen", changelog=TOPIC, files=self.files)
        self.filling = Filling(Settings(), table, self)

    async def after(self, records: int) -> None:
        self.slices.append(records)
        await asyncio.sleep(0)

    def once(self) -> None:
        asyncio.run(self.filling.run_once())


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def marks(count: int) -> list[Item]:
    return [(b"%d" % each, b"mark") for each in range(count)]


def test_what_is_ours_is_read_and_whole_then(rig: Rig) -> None:
    rig.log.records |= {0: marks(7), 1: marks(1), 2: marks(9)}
    rig.filling.own(frozenset([0, 1]))
    assert not rig.files.whole
    rig.once()
    assert rig.files.whole == {0, 1}
    assert {each: len(items) for each, items in rig.files.items.items()} == {0: 7, 1: 1}
    assert rig.files.offsets == {0: 6, 1: 0}
    assert (sum(rig.slices), rig.filling.missing, rig.log.stopped) == (8, 0, 1)


def test_it_goes_on_behind_what_is_on_the_disk(rig: Rig) -> None:
    rig.log.records[0], rig.files.offsets[0] = marks(7), 4
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (sorted(rig.files.items[0]), rig.files.whole) == ([b"5", b"6"], {0})


@pytest.mark.parametrize(("first", "end", "persisted"), [(0, 0, None), (5, 5, None), (5, 5, 2), (0, 7, 6), (7, 7, 6)])
def test_what_lacks_nothing_is_whole_at_once(rig: Rig, first: int, end: int, persisted: int | None) -> None:
    rig.log.records[0], rig.log.first[0] = marks(end), first
    if persisted is not None:
        rig.files.offsets[0] = persisted
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.whole, rig.slices, rig.files.items[0]) == ({0}, [], {})


def test_what_retention_removed_is_passed_over(rig: Rig) -> None:
    rig.log.records[0], rig.log.first[0], rig.files.offsets[0] = marks(9), 6, 2
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (sorted(rig.files.items[0]), rig.files.whole) == ([b"6", b"7", b"8"], {0})


@pytest.mark.parametrize("persisted", [5, 6, 99])
def test_a_changelog_that_ends_before_the_disk_is_another_one(
    rig: Rig, persisted: int, caplog: pytest.LogCaptureFixture
) -> None:
    rig.log.records[0], rig.files.offsets[0], rig.files.behind[0] = marks(5), persisted, persisted + 1
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.offsets, rig.files.whole) == ({}, set()), "it would be believed when the other one is as long"
    assert "its changelog ends before what is on this disk" in caplog.text
    rig.once()
    assert (len(rig.files.items[0]), rig.files.offsets[0], rig.files.whole) == (5, 4, {0})


@pytest.mark.parametrize("count", [0, 2, 5])
def test_a_changelog_that_is_made_again_while_it_is_read_is_another_one(rig: Rig, count: int) -> None:
    """The client goes back to the beginning by itself. What was marked before stands on it no more."""
    rig.log.records[0], rig.files.behind[0] = marks(9), 8

    def make_again() -> None:
        if len(rig.slices) == 1:
            rig.log.records[0], rig.log._at[TopicPartition(TOPIC, 0)] = marks(count), 0

    rig.log.on_read = make_again
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.offsets, rig.files.whole, len(rig.slices)) == ({}, set(), 2)
    rig.once()
    assert (rig.files.offsets.get(0, -1), rig.files.whole) == (count - 1, {0})


def test_a_client_that_gives_nothing_more_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was made again and is longer than what was read, say: its old end is never reached."""
    rig.log.records[0] = marks(9)
    rig.log.on_read = lambda: rig.log.records.__setitem__(0, marks(7))
    monkeypatch.setattr(filling, "_STALLED_AFTER", 0.01)
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.offsets[0], rig.files.whole, rig.log.stopped) == (6, set(), 1)
    assert "seen: not filled yet, trying again: TimeoutError" in caplog.text
    rig.once()
    assert rig.files.whole == {0}


def test_a_key_that_is_none_says_nothing_and_none_deletes(rig: Rig) -> None:
    rig.log.records[0] = [(b"a", b"1"), (None, b"x"), (b"b", b"2"), (b"a", None)]
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.items[0], rig.files.offsets[0]) == ({b"b": b"2"}, 3)


def test_it_is_not_whole_before_all_is_read_that_was_marked_meanwhile(rig: Rig) -> None:
    """Older records of the same order were written over it: behind them it stands again."""
    rig.log.records[0] = [(b"a", b"old")] * 4

    def mark() -> None:
        if len(rig.log.records[0]) == 4:
            rig.log.records[0].append((b"a", b"new"))
            rig.files.items[0][b"a"] = b"new"
            rig.files.behind[0] = 5

    rig.log.on_read = mark
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.items[0], rig.files.offsets[0], rig.files.whole) == ({b"a": b"new"}, 4, {0})


class Killed(Exception):
    """The worker's process is no more."""


@pytest.mark.parametrize("slices", range(4))
def test_a_worker_that_is_killed_while_it_fills_goes_on_there(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    """What it had marked itself comes again from the changelog: its mark wrote no offset."""
    rig.log.records[0] = marks(10)

    def read() -> None:
        if len(rig.slices) == slices:
            rig.log.records[0].append((b"own", b"mark"))
            raise Killed

    rig.log.on_read = read
    rig.filling.own(frozenset([0]))
    with pytest.raises(Killed):
        rig.once()
    assert rig.files.offsets.get(0) == (slices * 3 - 1 if slices else None)
    again = Rig(monkeypatch)
    again.log.records, again.files.items, again.files.offsets = rig.log.records, rig.files.items, rig.files.offsets
    again.filling.own(frozenset([0]))
    again.once()
    assert (len(again.files.items[0]), again.files.whole, sum(again.slices)) == (11, {0}, 11 - slices * 3)


@pytest.mark.parametrize("partitions", [None, frozenset([0]), frozenset([1])], ids=["revoked", "kept", "moved"])
def test_a_rebalance_breaks_it_off(rig: Rig, partitions: frozenset[int] | None) -> None:
    """What was being read may be another worker's: nothing of it is written, or said to be whole."""
    rig.log.records[0] = marks(3)
    rig.log.on_read = lambda: rig.filling.own(partitions)
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.items[0], rig.files.whole, rig.filling.missing) == ({}, set(), 0)
    assert rig.files.calls[-1] == ("doubt" if partitions is None else f"keep {sorted(partitions)}")
    rig.log.on_read = lambda: None
    rig.once()
    assert rig.files.whole == (partitions or set())


def test_a_rebalance_while_it_asks_where_the_log_ends_breaks_it_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = rig.log.end_offsets

    async def moved(partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        rig.filling.own(None)
        return await ends(partitions)

    monkeypatch.setattr(rig.log, "end_offsets", moved)
    rig.filling.own(frozenset([0]))
    rig.once()
    assert not rig.files.whole


def test_others_have_a_turn_whenever_a_partition_was_opened(rig: Rig) -> None:
    """RocksDB reads a log of some megabytes: a tenth of a second for each, in which no order goes on."""
    rig.files.opens = True
    rig.filling.own(frozenset([0, 1, 2]))
    rig.once()
    assert (rig.slices, rig.files.whole) == ([filling._OPENING] * 3, {0, 1, 2})


def test_a_rebalance_between_two_that_are_opened_breaks_it_off(rig: Rig) -> None:
    async def moved(_records: int) -> None:
        rig.filling.own(frozenset([2]))

    rig.files.opens, rig.filling._throttle = True, cast(Any, SimpleNamespace(after=moved))
    rig.filling.own(frozenset([0, 1]))
    rig.once()
    assert (rig.files.calls, rig.files.whole) == (["keep [0, 1]", "open 0", "keep [2]"], set())


def test_files_that_are_damaged_meanwhile_are_filled_from_the_beginning(rig: Rig) -> None:
    rig.log.records |= {0: marks(5), 1: marks(5)}
    rig.files.broken.add(0)
    rig.filling.own(frozenset([0, 1]))
    rig.once()
    assert rig.files.whole == {1}, "the other one is filled all the same"
    rig.once()
    assert (len(rig.files.items[0]), rig.files.whole) == (5, {0, 1})


def test_a_disk_that_does_not_open_a_partition_keeps_nothing_else_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.log.records |= {0: marks(5), 1: marks(5)}
    rig.files.unusable.add(0)
    rig.filling.own(frozenset([0, 1]))
    rig.once()
    assert rig.files.whole == {1}
    assert "not filled, trying again in 5 s: seen[0]: IO error: No space left on device" in caplog.text
    rig.files.unusable.clear()
    rig.once()
    assert rig.files.whole == {0, 1}


def test_kafka_that_is_away_is_tried_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.log.records[0], rig.log.failures = marks(5), [KafkaConnectionError()]
    rig.filling.own(frozenset([0]))
    rig.once()
    assert (rig.files.whole, rig.log.stopped) == (set(), 1)
    assert "seen: not filled yet, trying again: KafkaConnectionError" in caplog.text
    rig.once()
    assert rig.files.whole == {0}


def test_a_certificate_that_cannot_be_read_at_this_moment_is_read_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It is being rotated: the worker's other connections live on."""
    rig.log.records[0] = marks(5)
    with monkeypatch.context() as patch:
        settings = Settings(kafka_security_protocol="SSL", kafka_ssl_cafile=str(tmp_path / "ca.pem"))
        patch.setattr(rig.filling, "_settings", settings)
        rig.filling.own(frozenset([0]))
        rig.once()
    assert (rig.files.whole, "ca.pem: not a readable CA file" in caplog.text) == (set(), True)
    rig.once()
    assert rig.files.whole == {0}


def test_the_loop_fills_when_something_is_ours_and_looks_again_by_itself(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_whole() -> bool:
        return bool(rig.files.whole)

    async def play() -> None:
        loop = asyncio.create_task(rig.filling.run())
        rig.log.records[0] = marks(5)
        rig.filling.own(frozenset([0]))
        await wait_for_async(is_whole, 10, "it is filled")
        rig.files.whole.clear()  # found damaged in use
        await wait_for_async(is_whole, 10, "it is filled again")
        loop.cancel()

    monkeypatch.setattr(filling, "_LOOK_EVERY", 0.01)
    asyncio.run(play())


def test_people_are_told_of_what_takes_long(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.log.records[0] = marks(9)
    told = []
    rig.log.on_read = lambda: told.append((rig.filling.missing, rig.filling.notes()))
    rig.filling.own(frozenset([0]))
    rig.once()
    assert told == [(9, []), (6, []), (3, [])], "not at once"
    assert "seen: 9 records loaded from its changelog in " in caplog.text
    monkeypatch.setattr(filling, "TELL_EVERY", 0.0)
    monkeypatch.setattr("creditstream.kafka.filling_log.TELL_EVERY", 0.0)
    told.clear()
    rig.files.offsets.clear()
    rig.filling.own(frozenset([0]))
    rig.once()
    note = "seen is being filled, 6 records to go: orders are looked up in PostgreSQL"
    assert told[1] == (6, [note])
    assert "seen: 6 records of its changelog to go, of 9" in caplog.text
    assert rig.filling.notes() == []
