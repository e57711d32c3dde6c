"""The wall clock jumps while orders are on their way: nobody is lost, put off for long, or called at once."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import RiskUnavailable
from creditstream.order.retry import RetryRule
from tests.unit.pipeline_rig import Rig, id_of, order_json, run, scored

_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)
#: Of the rig's retry rule.
_DELAY = 30.0


def parked(rig: Rig, value: bytes) -> None:
    """The order's first turn failed, and its record on `orders-retry` has been read."""
    rig.answer(value, RiskUnavailable("down"), scored(700))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    [(partition, waiting)] = rig.publisher.topics["orders-retry"]
    record = rig.record(waiting.value, partition=partition, topic="orders-retry", headers=waiting.headers)
    rig.accept_retry(record)


@pytest.mark.parametrize("jump", [-_YEAR, -_DAY, _DAY, _YEAR])
def test_a_waiting_order_goes_on_after_its_delay_whatever_the_clock_says(jump: timedelta) -> None:
    rig, value = Rig(), order_json()
    parked(rig, value)
    rig.now += jump
    rig.advance(_DELAY - 1)
    assert not rig.pipeline.flights, "a jump ahead starts nobody before his time: all of them would come at once"
    rig.advance(2)
    run(rig.run())
    assert rig.store.rows[id_of(value)].status == "approved"
    assert (len(rig.risk.calls), rig.publisher.topics["orders-dead-letter"]) == (2, [])
    assert ("orders-retry", 0) in {(topic, offset) for topic, _, offset in rig.acknowledged}


def test_after_a_restart_with_another_clock_the_wait_is_bounded_by_the_rule() -> None:
    rig, value = Rig(), order_json()
    rig.now += _YEAR  # the worker that parks it lives in the future
    parked(rig, value)
    rig.now -= _YEAR
    restarted = Rig(store=rig.store)
    [(partition, waiting)] = rig.publisher.topics["orders-retry"]
    record = restarted.record(waiting.value, partition=partition, topic="orders-retry", headers=waiting.headers)
    restarted.accept_retry(record)
    restarted.advance(RetryRule(_DELAY, 3, 3_600.0).longest_wait)
    run(restarted.run())
    assert restarted.store.rows[id_of(value)].status == "approved"


@given(st.lists(st.integers(-40_000_000, 40_000_000), min_size=4, max_size=4))
def test_wherever_the_clock_jumps_an_order_is_decided_or_has_a_letter(jumps: list[int]) -> None:
    """An age that a jump made too large ends in a letter, by which the order can be sent again."""
    rig, value = Rig(), order_json()
    rig.answer(value, RiskUnavailable("down"), RiskUnavailable("down"), scored(700))
    rig.pipeline.accept(rig.record(value))
    for jump in jumps:
        rig.now += timedelta(seconds=jump)
        run(rig.run())
        for partition, waiting in rig.publisher.topics.pop("orders-retry", []):
            record = rig.record(waiting.value, partition=partition, topic="orders-retry", headers=waiting.headers)
            assert record.turn.first_failed is not None
            rig.accept_retry(record)
        rig.advance(RetryRule(_DELAY, 3, 3_600.0).longest_wait)
    run(rig.run())
    decided = rig.store.rows[id_of(value)].status == "approved"
    assert decided != bool(rig.publisher.reasons())
    assert not rig.pipeline.flights
    assert rig.acknowledged
