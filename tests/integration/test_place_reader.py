"""Records are read again where they stand: near, far, by the thousand; and what Kafka has no more is told."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from aiokafka.structs import TopicPartition

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka import place_reader
from creditstream.kafka.admin import Cluster
from creditstream.kafka.client import open_admin
from creditstream.kafka.place_reader import PlaceReader
from tests.support.kafka import Topics, run

_COUNT = 3_000


@pytest.fixture
def written(topics: Topics) -> Topics:
    """Two partitions of `orders-retry`; each record's value says where it stands."""
    for partition in (0, 1):
        lines = [(None, f"{partition}@{offset} {'x' * 400}".encode()) for offset in range(_COUNT)]
        topics.produce("orders-retry", lines, partition=partition)
    return topics


async def read_all(reader: PlaceReader, wanted: Mapping[int, Sequence[int]]) -> dict[tuple[int, int], str | None]:
    """As the waiting room does it: until each has its answer."""
    found: dict[tuple[int, int], str | None] = {}
    left = {(partition, offset) for partition, offsets in wanted.items() for offset in offsets}
    while left:
        places: dict[int, list[int]] = {}
        for partition, offset in sorted(left):
            places.setdefault(partition, []).append(offset)
        answers = await reader.read(places)
        assert answers
        for place, record in answers.items():
            found[place] = record and record.value.decode().split()[0]
        left -= set(answers)
    return found


def play(topics: Topics, *wanted: Mapping[int, Sequence[int]]) -> list[dict[tuple[int, int], str | None]]:
    async def both() -> list[dict[tuple[int, int], str | None]]:
        reader = PlaceReader(topics.settings, topics.name("orders-retry"))
        try:
            return [await read_all(reader, each) for each in wanted]
        finally:
            await reader.close()

    return run(both())


def test_the_records_at_places_near_and_far_are_read(written: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_reader, "_MOST_BYTES", 20_000)  # in several goes
    far: Mapping[int, Sequence[int]] = {0: [0, 1, 5, 1_700, _COUNT - 1], 1: [2_999, 17, 900]}
    near: Mapping[int, Sequence[int]] = {0: range(100, 300)}
    one: Mapping[int, Sequence[int]] = {1: [42]}
    for wanted, found in zip((far, near, one), play(written, far, near, one), strict=True):
        assert found == {(p, offset): f"{p}@{offset}" for p, offsets in wanted.items() for offset in offsets}


def test_what_kafka_has_no_more_is_told_and_the_others_are_read(written: Topics) -> None:
    async def delete() -> None:
        admin = await open_admin(written.settings)
        try:
            place = TopicPartition(written.name("orders-retry"), 0)
            await Cluster(admin).delete_before({place: 1_000}, "delete")
        finally:
            await admin.close()

    run(delete())
    [found] = play(written, {0: [3, 999, 1_000, 2_000], 1: [3, _COUNT]})
    assert found == {
        (0, 3): None,
        (0, 999): None,
        (0, 1_000): "0@1000",
        (0, 2_000): "0@2000",
        (1, 3): "1@3",
        (1, _COUNT): None,
    }


def test_a_broker_that_is_away_is_told() -> None:
    async def ask() -> None:
        reader = PlaceReader(Settings(kafka_brokers="127.0.0.1:1"), "orders-retry")
        with pytest.raises(BrokerUnavailable):
            await reader.read({0: [1]})
        await reader.close()

    asyncio.run(ask())
