"""Records that Kafka removed before they were read: the worker goes on, and writes down from where."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faust.types import TP

from creditstream.kafka.delivery import InOrderDelivery
from creditstream.kafka.offsets import StartingPoint
from creditstream.kafka.positions import InOrderPositions
from creditstream.kafka.reading import Hole, gap
from schemas.dead_letter import REMOVED_UNREAD
from tests.unit.test_log_cut import _HOME, _ORDERS, at
from tests.unit.test_records_delivered import Delivery

_LETTERS = "orders-dead-letter"


@pytest.fixture(autouse=True)
def sought(monkeypatch: pytest.MonkeyPatch) -> None:
    async def seek(*_: object) -> None: ...

    monkeypatch.setattr(InOrderDelivery, "_seek_back", seek)


def played(play: Callable[[Delivery], Awaitable[None]], start: int = 5) -> Delivery:
    async def run() -> Delivery:
        delivery = Delivery("orders", _HOME, start)
        await play(delivery)
        return delivery

    return asyncio.run(run())


def letters(delivery: Delivery) -> list[dict[str, bytes | None]]:
    return [dict(record.headers) for _, record in delivery.rig.publisher.topics.get(_LETTERS, [])]


def told(letter: dict[str, bytes | None]) -> tuple[Any, ...]:
    names = ("x-original-topic", "x-original-partition", "x-original-offset", "x-removed-until", "x-error-class")
    return tuple(letter[name] for name in names)


def test_a_jump_that_was_shown_twice_has_one_dead_letter_that_says_from_where_to_where() -> None:
    async def play(delivery: Delivery) -> None:
        for _ in range(2):
            await delivery.play(at(9, _ORDERS[:2]), start=9)

    delivery = played(play)
    [letter] = letters(delivery)
    assert told(letter) == (b"orders", str(_HOME).encode(), b"5", b"9", REMOVED_UNREAD.encode())
    assert letter["x-error-message"] == b"4 records, up to offset 8, were removed by Kafka before they were read"
    assert letter["x-truncated-from"] is not None, "there is nothing to send again"
    assert delivery.position == 11 and len(delivery.rig.store.rows) == 2


def test_a_jump_over_one_record_is_one() -> None:
    async def play(delivery: Delivery) -> None:
        for _ in range(2):
            await delivery.play(at(6, _ORDERS[:1]), start=6)

    delivery = played(play)
    assert told(letters(delivery)[0])[2:4] == (b"5", b"6")
    assert delivery.position == 7


def test_nothing_behind_it_is_committed_before_the_letter_is_delivered() -> None:
    async def play(delivery: Delivery) -> None:
        delivery.consumer._backlog[delivery.tp] = delivery.read(at(9, _ORDERS[:1]), 9)
        await delivery.consumer._deliver(delivery.tp, 1)
        delivery.consumer._backlog[delivery.tp] = delivery.read(at(9, _ORDERS[:1]), 9)
        await delivery.consumer._deliver(delivery.tp, 1)
        assert delivery.position == 5
        await delivery.rig.run(2)
        assert delivery.position == 10

    played(play)


def test_markers_and_what_was_read_and_dropped_are_no_such_jump() -> None:
    async def play(delivery: Delivery) -> None:
        await delivery.play(at(9, _ORDERS[:1]), start=9)
        await delivery.play(at(5, _ORDERS[:5]), start=5)
        await delivery.play(at(12, _ORDERS[:1]), start=10)  # asked for in one go: a Hole

    delivery = played(play)
    assert letters(delivery) == [] and delivery.position == 13


def test_a_partition_whose_committed_offset_is_gone_begins_with_the_letter() -> None:
    tp = TP("orders", 1)
    consumer: Any = InOrderPositions.__new__(InOrderPositions)
    consumer._backlog = {}
    progress = consumer._progress(tp, StartingPoint(30, 40, gone_from=20))
    assert (progress.position, progress.expected, progress.replay_until) == (20, 20, 40)
    letter, hole = consumer._backlog[tp]
    assert (letter.offset, letter.reason, hole) == (20, REMOVED_UNREAD, Hole(21, 30))
    assert not progress.to_commit


def test_where_a_group_without_offsets_began_is_committed_at_once() -> None:
    """Otherwise nobody would know later that records before its first commit were gone unread."""
    consumer: Any = InOrderPositions.__new__(InOrderPositions)
    consumer._backlog = {}
    new = consumer._progress(TP("orders", 1), StartingPoint(0, 9, is_known=False))
    known = consumer._progress(TP("orders", 1), StartingPoint(0, 9))
    assert (new.to_commit, known.to_commit, consumer._backlog) == (True, False, {})


def test_a_gap_is_a_record_of_its_own_and_a_hole() -> None:
    letter, hole = gap(TP("orders-retry", 3), 7, 8)
    assert (letter.topic, letter.partition, letter.offset, letter.value) == ("orders-retry", 3, 7, None)
    assert hole == Hole(8, 8)
