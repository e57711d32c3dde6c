"""Orders of `orders-retry` wait for their time, and hold up nobody; only when and where is held of them."""

import asyncio
import logging
import tracemalloc
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import BrokerUnavailable
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
    """Answers when it is told, for `most` places at a time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.may_answer, self._most = asyncio.Event(), most

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        found = await super().read(places)
        await self.may_answer.wait()
        return {place: found[place] for place in places[: self._most]}


def slow(most: int = 1) -> tuple[Rig, Slow]:
    topic = Slow(most)
    return Rig(retry_topic=topic), topic


def test_what_was_not_answered_is_asked_for_first() -> None:
    rig, topic = slow()
    places = sorted(park(rig, 1, offset, value=at(0)) for offset in range(3))
    topic.may_answer.set()
    rig.advance(2)
    run(rig.run())
    assert topic.reads == [places, places[1:], places[2:]]
    assert len(rig.acknowledged) == 3


def test_what_was_read_waits_for_its_place_when_others_took_it_meanwhile() -> None:
    rig, topic = slow()
    park(rig, 0)

    async def play() -> None:
        starting = asyncio.ensure_future(rig.pipeline.start_due())
        await turns()
        while rig.pipeline.has_room():
            rig.pipeline.accept(rig.record(order_json()))
        full = len(rig.flights)
        topic.may_answer.set()
        await turns(50)
        assert (len(rig.flights), len(topic.reads)) == (full, 1)
        rig.flights.land(next(iter(rig.flights.values())))
        await starting
        assert len(rig.flights) == full

    run(play())


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


def test_positions_that_are_taken_anew_are_as_good_as_partitions_that_went(full: Rig) -> None:
    """All that waits is delivered again, also when nothing was revoked before."""
    full.pipeline.own(_ALL)
    assert full.pipeline.waiting == 0


# -- a log that was cut


def test_what_waits_on_a_log_that_was_cut_is_dropped_and_the_rest_waits_on() -> None:
    rig = Rig()
    places = [park(rig, 1, offset, value=at(offset % 2)) for offset in range(6)]
    park(rig, 3_600, 6, value=at(1))
    rig.pipeline.forget_retries(0)
    assert (rig.pipeline.waiting, rig.pipeline.retries.look(_ALL)[0].held) == (4, 0)
    rig.advance(2)
    run(rig.run())
    assert rig.retry_topic.reads == [[place for place in places if place.partition == 1]]
    assert rig.pipeline.waiting == 1


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_being_read_when_its_log_is_cut_starts_nothing_and_acknowledges_nothing(gone: bool) -> None:
    """Another record may stand at its place by then. What is read of other partitions goes on."""
    rig, topic = slow(most=2)
    cut, other = park(rig, 0, value=at(0)), park(rig, 0, value=at(1))
    topic.gone |= {cut} if gone else set()

    async def play() -> None:
        starting = asyncio.ensure_future(rig.pipeline.start_due())
        await turns()
        rig.pipeline.forget_retries(0)
        park(rig, 3_600, value=at(0))
        topic.may_answer.set()
        await starting
        await rig.run()

    run(play())
    assert topic.reads == [[cut, other]]
    assert rig.acknowledged == [("orders-retry", 1, 0)]
    assert (rig.pipeline.waiting, rig.metrics.lost_retries.read().values) == (1, {(): 0})


# -- a partition that cannot be read


class Silent(FakeRetryTopic):
    """Some of its partitions give nothing."""

    def __init__(self, *partitions: int) -> None:
        super().__init__()
        self.silent = set(partitions)

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        assert len(self.reads) < 100, "it is asked again and again"
        found = await super().read(places)
        given = {place: record for place, record in found.items() if place.partition not in self.silent}
        if not given:
            raise BrokerUnavailable("silent")
        return given


def test_orders_of_a_partition_that_cannot_be_read_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them are due, and however early."""
    monkeypatch.setattr("creditstream.order.waiting_room._BATCH", 20)
    topic = Silent(0)
    rig = Rig(retry_topic=topic)
    for offset in range(60):
        park(rig, 1, offset, value=at(0))
    places = [park(rig, 2, offset, value=at(1)) for offset in range(3)]
    rig.advance(3)
    run(rig.run())
    assert sorted(rig.acknowledged) == [("orders-retry", *place) for place in places]
    asked = len(topic.reads)
    for offset in range(3):
        late = park(rig, 0, 1_000 + offset, value=at(1))
        run(rig.run())
        assert ("orders-retry", *late) in rig.acknowledged
    assert all(place.partition == 1 for places in topic.reads[asked:] for place in places), "the other one rests"
    topic.silent.clear()
    rig.advance(6)
    run(rig.run())
    assert rig.pipeline.waiting == 0
    assert len(rig.acknowledged) == 66


def test_a_partition_that_stays_silent_is_told_once_and_seen_by_liveness(caplog: pytest.LogCaptureFixture) -> None:
    topic = Silent(0)
    rig = Rig(retry_topic=topic)
    park(rig, 0, value=at(0))
    seen = set()
    for offset in range(5):
        park(rig, 0, offset, value=at(1))
        run(rig.run())
        seen.add(rig.pipeline.retries.look(_ALL)[0].next_due)
        rig.advance(6)
    assert caplog.text.count("partition 0 of orders-retry gives no record") == 1
    assert len(rig.acknowledged) == 5
    assert len(seen) == 1 and None not in seen, "it does not get on, whatever others do"
    topic.silent.clear()
    run(rig.run())
    assert len(rig.acknowledged) == 6
    assert rig.pipeline.retries.look(_ALL)[0].next_due is None
