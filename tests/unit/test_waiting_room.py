"""Orders of `orders-retry` wait for their time, and hold up nobody; only when and where is held of them."""

import asyncio
import logging
import tracemalloc
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.order.delays import Delays
from creditstream.order.ports import Place
from creditstream.order.record import Record, Turn
from tests.unit.pipeline_rig import ROUTES, FakeRetryTopic, Rig, home_of, id_of, order_json, run, turns

_ALL = frozenset(range(ROUTES.partitions))


def park(rig: Rig, seconds: float, offset: int = 0, *, value: bytes | None = None) -> Place:
    """An order on `orders-retry` whose next turn is so many seconds away."""
    value = value or order_json()
    waiting = rig.record(value).waiting(Turn(1, rig.now, rig.now + timedelta(seconds=seconds)))
    rig.accept_retry(rig.record(value, topic="orders-retry", offset=offset, headers=waiting))
    return Place(home_of(value), offset)


def at(partition: int) -> bytes:
    return next(value for value in iter(order_json, None) if home_of(value) == partition)


# -- room


@pytest.mark.parametrize("size", [200, 200_000])
def test_an_order_that_is_due_is_not_held_up_by_those_that_wait(size: int) -> None:
    """However many they are and however large: ten times as many as may be in flight once stopped the topic."""
    rig, value = Rig(), order_json(metadata={"note": "x" * size})
    for offset in range(1_001):
        park(rig, 3_600, offset, value=value)
    assert rig.pipeline._waiting_room.has_room()
    late = order_json()
    park(rig, 0, 2_000, value=late)
    run(rig.run())
    assert rig.store.rows[id_of(late)].is_settled
    assert (len(rig.acknowledged), rig.pipeline.waiting) == (1, 1_001)


def test_what_waits_is_compact() -> None:
    """A million of them: 60 MB. Their records are not kept."""
    delays, count = Delays(), 20_000
    tracemalloc.start()
    for number in range(count):
        delays.add(1_000.0 + number * 7 % 3_600, Place(number % 64, 10**12 + number))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 70 * count


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Its room is taken by orders that are due in 10, 20 and 30 seconds."""
    monkeypatch.setattr("creditstream.order.waiting_room._WAITING_MOST", 3)
    rig = Rig()
    for offset, seconds in enumerate((30, 10, 20)):
        assert rig.pipeline._waiting_room.has_room()
        park(rig, seconds, offset)
    assert not rig.pipeline._waiting_room.has_room()
    return rig


def test_the_room_of_an_order_is_given_back_when_it_starts(full: Rig) -> None:
    for again in range(3):
        full.advance(10)
        run(full.run())
        assert full.pipeline._waiting_room.has_room(), again
        park(full, 30, 3 + again)
        assert not full.pipeline._waiting_room.has_room()


def test_the_room_of_all_is_given_back_when_their_partitions_go(full: Rig) -> None:
    full.pipeline.own(None)
    full.pipeline.own(_ALL)
    for offset, seconds in enumerate((30, 10, 20)):
        assert full.pipeline._waiting_room.has_room(), "they come again"
        park(full, seconds, offset)
    full.advance(31)
    run(full.run())
    assert len(full.acknowledged) == 3
    assert full.pipeline.retries.look(_ALL)[0].held == 0


# -- turns


@given(
    st.lists(
        st.tuples(st.floats(0, 5_000), st.builds(Place, st.integers(0, 9_999), st.integers(0, 2**62))),
        unique_by=lambda each: each[1],
        max_size=40,
    )
)
def test_each_comes_by_its_time_and_none_before(waiting: list[tuple[float, Place]]) -> None:
    delays, left = Delays(), dict[Place, float]()
    for due, place in waiting:
        delays.add(due, place)
        left[place] = due
    for now in (0.0, 1_000.0, 2_500.25, 5_001.0):
        found = delays.pop_due(now, len(waiting))
        assert found == sorted(found)
        assert all(left.pop(place) <= now for place in found)
        assert all(due > now - 0.001 for due in left.values()), "a millisecond late at most"
    assert (len(delays), len(left), delays.partitions().total()) == (0, 0, 0)


def test_what_is_due_is_read_by_the_batch_in_the_order_of_places() -> None:
    rig = Rig()
    places = [park(rig, seconds, offset, value=at(offset % 4)) for offset, seconds in enumerate((9, 3, 8, 5, 7))]
    park(rig, 20, 99)
    rig.advance(10)
    run(rig.run())
    assert rig.retry_topic.reads == [sorted(places)]
    assert len(rig.acknowledged) == 5


def test_no_more_are_read_than_may_start() -> None:
    rig = Rig()
    for offset in range(150):
        park(rig, 1, offset)
    rig.advance(2)
    rig.risk.hold()

    async def play() -> None:
        starting = asyncio.ensure_future(rig.pipeline.start_due())
        await turns()
        assert (len(rig.retry_topic.reads[0]), len(rig.pipeline.flights)) == (100, 100)
        rig.flights.land(next(iter(rig.pipeline.flights.values())))
        await turns(50)
        assert len(rig.retry_topic.reads[1]) == 1
        starting.cancel()

    run(play())


def test_retries_have_their_turn_at_the_door() -> None:
    """An agent that always has a new order does not take every place that becomes free."""
    rig = Rig()
    for offset in range(100):
        rig.pipeline.accept(rig.record(order_json(), offset=offset))
    for offset in range(20):
        park(rig, 0, offset)

    async def agent() -> None:
        while True:
            await rig.pipeline.room()
            rig.pipeline.accept(rig.record(order_json()))

    async def play() -> int:
        both = [asyncio.ensure_future(each) for each in (agent(), rig.pipeline.start_due())]
        await turns(50)
        for _ in range(30):
            rig.flights.land(next(iter(rig.pipeline.flights.values())))
            await turns(20)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        return rig.pipeline.waiting

    assert run(play()) <= 10


# -- what may go wrong


def test_a_record_that_kafka_has_no_more_is_told_counted_and_done(caplog: pytest.LogCaptureFixture) -> None:
    rig, kept = Rig(), order_json()
    gone = [park(rig, 1, offset) for offset in range(3)]
    park(rig, 1, 9, value=kept)
    rig.retry_topic.gone |= set(gone)
    rig.advance(2)
    run(rig.run())
    [told] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    first = min(gone)
    assert told.startswith("3 records of orders-retry are gone")
    assert f"partition {first.partition}, offset {first.offset}" in told
    assert rig.metrics.lost_retries.read().values == {(): 3}
    assert len(rig.acknowledged) == 4, "they hold up nobody's offset"
    assert set(rig.store.rows) == {id_of(kept)}


def test_while_kafka_is_away_what_is_due_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("creditstream.order.waiting_room._BACKOFF", 0)
    rig = Rig()
    for offset in range(3):
        park(rig, 1, offset)
    rig.retry_topic.failures = 2
    rig.advance(2)
    run(rig.run())
    assert caplog.text.count("3 orders that are due cannot be read, trying again: told to fail") == 2
    assert len(rig.acknowledged) == 3


class Slow(FakeRetryTopic):
    """Answers when it is told, and for one place at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        found = await super().read(places)
        await self.may_answer.wait()
        return {places[0]: found[places[0]]}


def slow() -> tuple[Rig, Slow]:
    topic = Slow()
    return Rig(retry_topic=topic), topic


def test_what_was_not_answered_is_asked_for_first() -> None:
    rig, topic = slow()
    places = sorted(park(rig, 1, offset) for offset in range(3))
    topic.may_answer.set()
    rig.advance(2)
    run(rig.run())
    assert topic.reads == [places, places[1:], places[2:]]
    assert len(rig.acknowledged) == 3


def test_what_is_being_read_when_its_partition_goes_is_dropped() -> None:
    rig, topic = slow()
    value = order_json()
    park(rig, 0, value=value)

    async def play() -> None:
        starting = asyncio.ensure_future(rig.pipeline.start_due())
        await turns()
        assert len(topic.reads) == 1
        assert rig.pipeline.retries.look(_ALL)[home_of(value)].held == 1
        rig.pipeline.own(None)
        rig.pipeline.own(_ALL)
        park(rig, 0, value=value)  # it comes again
        topic.may_answer.set()
        await starting
        assert len(rig.pipeline.flights) == 1
        await rig.run()

    run(play())
    assert len(rig.acknowledged) == 1
    assert len(topic.reads) == 2
