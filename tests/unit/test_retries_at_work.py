"""What liveness is told of `orders-retry`: what is held of each partition, and which order of it must get on."""

from datetime import timedelta

from creditstream.order.record import Turn
from creditstream.order.retries_at_work import RetryWork
from tests.unit.pipeline_rig import Rig, order_json, run
from tests.unit.test_waiting_room import at, park

_BOTH = frozenset({0, 1})
_IDLE = RetryWork(0, True, None, None)


def test_what_waits_and_what_is_on_its_way_is_held_by_its_partition() -> None:
    rig = Rig()
    assert rig.pipeline.retries.look(_BOTH) == {0: _IDLE, 1: _IDLE}
    for offset in range(3):
        park(rig, 0, offset, value=at(0))
    park(rig, 3_600, 3, value=at(0))
    park(rig, 3_600, 9, value=at(1))
    run(rig.pipeline.start_due())
    found = rig.pipeline.retries.look(_BOTH)
    assert found == {0: RetryWork(4, True, None, 0), 1: RetryWork(1, True, None, None)}
    rig.flights.land(next(iter(rig.flights.values())))
    assert rig.pipeline.retries.look(_BOTH)[0] == RetryWork(3, True, None, 1), "the next one is the first now"


def test_an_order_of_another_topic_is_none_of_it() -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(at(0), offset=7))
    assert rig.pipeline.retries.look(_BOTH) == {0: _IDLE, 1: _IDLE}


def test_a_record_that_came_twice_is_held_once() -> None:
    """A redelivery joins its order: it stands at the same place."""
    rig, value = Rig(), at(0)
    park(rig, 0, 5, value=value)
    run(rig.pipeline.start_due())
    headers = rig.record(value).waiting(Turn(1, rig.now, rig.now + timedelta(seconds=0)))
    rig.pipeline._reception.resume(rig.record(value, topic="orders-retry", offset=5, headers=headers))
    assert rig.pipeline.retries.look(_BOTH)[0] == RetryWork(1, True, None, 5)


def test_of_what_is_due_and_not_started_its_partition_must_get_on() -> None:
    rig = Rig()
    park(rig, 0, 0, value=at(0))
    park(rig, 0, 1, value=at(0))
    due = rig.pipeline.retries.look(_BOTH)[0].next_due
    assert due is not None
    assert rig.pipeline.retries.look(_BOTH)[1].next_due is None
    run(rig.pipeline.start_due())
    park(rig, 0, 2, value=at(0))
    again = rig.pipeline.retries.look(_BOTH)[0].next_due
    assert again is not None and again != due, "it got on"


def test_a_partition_whose_log_was_cut_is_silent_no_more() -> None:
    rig = Rig()
    rig.retry_topic.silent = {0}
    park(rig, 0, 0, value=at(0))
    park(rig, 0, 0, value=at(1))
    run(rig.run())
    assert rig.pipeline.retries.look(_BOTH)[0].next_due is not None
    rig.pipeline.forget_retries(0)
    assert rig.pipeline.retries.look(_BOTH)[0] == _IDLE


def test_what_is_no_order_has_one_letter() -> None:
    rig, value = Rig(), order_json()[:-1]
    headers = rig.record(value).waiting(Turn(1, rig.now, rig.now))
    rig.accept_retry(rig.record(value, topic="orders-retry", headers=headers))
    rig.advance(1)
    run(rig.run())
    assert rig.publisher.reasons() == ["not_json"]
    assert len(rig.acknowledged) == 1
