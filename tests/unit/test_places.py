"""Places are read from a log of the test's own: what is found, what is gone, and what costs nothing.

On the model of Kafka, with its faults: test_place_reader.py.
"""

import asyncio
from collections.abc import Set
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka import place_reader
from creditstream.kafka.place_reader import PlaceReader


class Log:
    """aiokafka's consumer; `holes`: offsets without a record, `size`: bytes of one, `at_a_time`: what a fetch gives."""

    def __init__(
        self, *, first: int = 0, end: int = 10, holes: Set[int] = frozenset(), size: int = 1, at_a_time: int = 3
    ) -> None:
        self.first, self.end, self._holes = first, end, holes
        self._size, self._at_a_time = size, at_a_time
        self.options: dict[str, Any] = {}
        self._at: dict[TopicPartition, int] = {}
        self.fetches, self.sought, self.paused = 0, list[int](), set[int]()
        self.leader, self.away = 0, False
        cluster = SimpleNamespace(leader_for_partition=lambda _: self.leader)
        self._client = SimpleNamespace(cluster=cluster)
        self._subscription = SimpleNamespace(unsubscribe=self._at.clear)
        self.events: list[str] = []

    def assign(self, tps: list[TopicPartition]) -> None:
        self._at.update(dict.fromkeys(tps, 0))

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset
        self.sought.append(offset)

    def pause(self, tp: TopicPartition) -> None:
        self.paused.add(tp.partition)

    async def getmany(self, tp: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        self.fetches += 1
        assert self.fetches < 100, "it is asked again and again"
        if self.away:
            raise KafkaConnectionError
        at = self._at[tp]
        if not self.first <= at <= self.end:
            raise OffsetOutOfRangeError
        self._at[tp] = until = min(self.end, at + self._at_a_time)
        there = [offset for offset in range(at, until) if offset not in self._holes]
        return {tp: [SimpleNamespace(offset=each, value=b"%d" % each + b" " * self._size) for each in there]}

    async def position(self, tp: TopicPartition) -> int:
        return self._at[tp]

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.first)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.end)


@pytest.fixture
def reader_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A reader of that log."""

    def make(log: Log) -> PlaceReader:
        def consumer(**options: Any) -> Log:
            log.options = options
            log.events.append("made")
            return log

        async def start(found: Log) -> None:
            if log.away:
                raise KafkaConnectionError
            found.events.append("started")

        async def stop(found: Log) -> None:
            found.events.append("stopped")

        monkeypatch.setattr(place_reader, "AIOKafkaConsumer", consumer)
        monkeypatch.setattr(place_reader, "start", start)
        monkeypatch.setattr(place_reader, "stop", stop)
        return PlaceReader(Settings(), "orders-retry")

    return make


def found(reader: PlaceReader, places: dict[int, Any]) -> dict[tuple[int, int], str | None]:
    read = asyncio.run(reader.read(places))
    return {place: record and record.value.decode().strip() for place, record in read.items()}


def test_what_is_there_is_found_in_whatever_order_it_is_asked_for(reader_of: Any) -> None:
    log = Log()
    assert found(reader_of(log), {0: [8, 1, 2], 1: [5]}) == {(0, 1): "1", (0, 2): "2", (0, 8): "8", (1, 5): "5"}
    assert log.paused == {0, 1} and not log._at, "nobody reads on"
    assert log.options["isolation_level"] == "read_committed"


def test_what_is_gone_is_told(reader_of: Any) -> None:
    log = Log(first=3, holes=frozenset({5, 6, 9}))
    expected = {2: None, 3: "3", 5: None, 6: None, 7: "7", 9: None, 10: None, 900: None}
    assert found(reader_of(log), {0: list(expected)}) == {(0, at): value for at, value in expected.items()}


@pytest.mark.parametrize(("places", "sought"), [([0, 150], [0]), ([0, 151], [0, 151]), ([0, 300], [0, 300])])
def test_what_is_far_away_is_sought_and_what_is_near_is_read_on_to(
    places: list[int], sought: list[int], reader_of: Any
) -> None:
    log = Log(end=1_000, at_a_time=100)
    assert found(reader_of(log), {0: places}) == {(0, at): str(at) for at in places}
    assert log.sought == sought


def test_a_go_ends_when_it_holds_enough_and_every_partition_has_its_turn(reader_of: Any) -> None:
    log = Log(end=100, size=1_000_000)
    read = found(reader_of(log), {0: range(100), 1: range(100)})
    assert 4 <= len(read) <= 4 + 2 * 3
    assert {partition for partition, _ in read} == {0, 1}


def test_one_connection_is_opened_and_closed_once(reader_of: Any) -> None:
    log = Log()
    reader = reader_of(log)

    async def scene() -> None:
        await reader.close()
        for _ in range(2):
            assert await reader.read({0: [1]})
        await reader.close()
        await reader.close()

    asyncio.run(scene())
    assert log.events == ["made", "started", "stopped"]


def test_a_kafka_that_is_away_is_told_and_a_leader_of_any_number_is_one(reader_of: Any) -> None:
    log = Log()
    reader = reader_of(log)
    log.away = True
    with pytest.raises(BrokerUnavailable, match="orders-retry: KafkaConnectionError"):
        found(reader, {0: [1]})
    assert log.events == ["made"], "it is opened anew the next time"
    log.away = False
    assert found(reader, {0: [20]}) == {(0, 20): None}
    log.away = True
    with pytest.raises(BrokerUnavailable, match="orders-retry: KafkaConnectionError"):
        found(reader, {0: [1]})
    log.away, log.leader = False, -1
    with pytest.raises(BrokerUnavailable, match="orders-retry: LeaderNotAvailableError"):
        found(reader, {0: [20]})
    assert found(reader, {0: [2]}) == {(0, 2): "2"}, "nobody is asked who leads while there are records"
