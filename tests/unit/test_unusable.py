"""How many answers without a usable score are too many; and where they are counted."""

import asyncio
from collections.abc import Sequence

import pytest

from creditstream.risk.unusable import UnusableLimit
from devtools.fakes import ManualClock
from tests.unit.pipeline_rig import Rig, order_json, run
from tests.unit.test_breaker import RULE, a_gate
from tests.unit.test_for_a_person import UNUSABLE


def after(answers: Sequence[bool], now: float = 0.0) -> UnusableLimit:
    limit = UnusableLimit(50, 0.5, 10.0)
    for unusable in answers:
        limit.count(unusable, now)
    return limit


@pytest.mark.parametrize(
    ("bad", "good", "stops"),
    [(49, 0, False), (50, 0, True), (25, 25, False), (26, 24, True), (26, 25, True), (26, 26, False), (60, 200, False)],
)
def test_more_than_half_of_at_least_fifty(bad: int, good: int, stops: bool) -> None:
    assert bool(after([False] * good + [True] * bad).problem(0.0)) == stops


def test_it_says_what_and_for_how_long_and_begins_anew() -> None:
    limit = after([True] * 50)
    expected = "50 of the risk API's last 50 answers had no usable score: intake is stopped for 10 s"
    assert limit.problem(9.9) == f"{expected} (CREDITSTREAM_RISK_BREAKER_SHARE)"
    limit.count(True, 5.0)
    assert limit.problem(9.9) and not limit.problem(10.0), "what was in flight does not make it longer"
    for _ in range(49):
        limit.count(True, 10.0)
    assert not limit.problem(10.0)
    limit.count(True, 10.0)
    assert limit.problem(10.0)


def test_answers_of_long_ago_do_not_count() -> None:
    limit = after([True] * 40)
    for _ in range(40):
        limit.count(True, 20.0)
    assert not limit.problem(20.0)


def test_answers_of_long_ago_do_not_count_however_steadily_others_come() -> None:
    limit = after([True] * 40)
    limit.count(False, 9.5)
    for _ in range(40):
        limit.count(True, 10.4)
    assert not limit.problem(10.4), "41 answers in the window are too few"


def test_an_answer_with_a_score_stops_nothing() -> None:
    assert not after([True] * 26 + [False] * 24).problem(0.0)
    assert after([True] * 26 + [False] * 24 + [True]).problem(0.0)


def test_the_gate_counts_answers_about_orders_alone() -> None:
    """And neither opens the circuit by them, nor makes the limit smaller, nor gives one a second call."""

    async def test() -> None:
        gate = a_gate(ManualClock())
        for _ in range(200):
            for outcome in ("unusable", "timeout", "scored", "cancelled"):
                gate.leave(await gate.enter(), outcome, 0.1)
            gate.breaker._calls.clear()
            gate.breaker._row = 0
        assert (gate.unusable._ended.marked, gate.unusable._ended.total) == (200, 400)
        limit = gate.limiter.limit
        for _ in range(500):
            gate.leave(await gate.enter(), "unusable", 0.1)
        assert gate.breaker.state == "closed" and gate.limiter.limit >= limit
        assert gate.unusable.problem(0.0)

    asyncio.run(test())


def test_the_circuit_closes_with_a_probe_that_is_answered_unusably() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock)
        for _ in range(RULE.min_calls):
            gate.leave(await gate.enter(), "timeout", 0.1)
        assert gate.breaker.probe_in(0.0) > 0
        clock.advance(60.0)
        gate.leave(await gate.enter(), "unusable", 0.1)
        assert gate.breaker.state == "closed"

    asyncio.run(test())


def test_intake_stops_and_goes_on_after_the_window() -> None:
    rig = Rig()
    rig.brakes._answers = after([True] * 50)
    assert rig.brakes.problems() == [rig.brakes.too_many_unusable()] != [""]
    assert not rig.brakes.too_many_letters()

    async def wait_for_room() -> None:
        room = asyncio.ensure_future(rig.pipeline.room())
        await asyncio.sleep(0)
        assert not room.done()
        rig.time += 10.0
        await room

    run(wait_for_room())
    assert not rig.brakes.problems()


def test_they_do_not_count_for_the_limit_on_letters() -> None:
    counted: list[bool] = []

    class Counting(UnusableLimit):
        def count(self, letter: bool, now: float) -> None:
            counted.append(letter)

    rig, value = Rig(), order_json()
    rig.brakes._letters = Counting(1, 0.5, 10.0)
    rig.answer(value, UNUSABLE)
    rig.pipeline.accept(rig.record(value))
    rig.pipeline.accept(rig.record(order_json(product="yacht"), offset=1))
    run(rig.run())
    assert sorted(counted) == [False, True], "one customer's answer is nobody's fault; a product without a rule is"
