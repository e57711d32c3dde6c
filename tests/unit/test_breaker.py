"""The circuit breaker as a state machine, and the gate in which calls wait for it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.config.settings import Settings
from creditstream.errors import RiskUnavailable
from creditstream.order.brakes import Brakes
from creditstream.risk.allowance import Pace, RetryBudget
from creditstream.risk.attempts import Backoff
from creditstream.risk.breaker import Breaker, BreakerRule, State
from creditstream.risk.client import RiskClient
from creditstream.risk.guarded import Gate, GuardedRisk, make_gate
from creditstream.risk.limiter import Limiter
from creditstream.risk.unusable import UnusableLimit
from devtools.fakes import ManualClock, an_order
from tests.unit.pipeline_rig import Rig, order_json, run, turns

RULE = BreakerRule(share=0.5, min_calls=4, window=10.0, pause=2.0)


def call(breaker: Breaker, now: float, *, failed: bool) -> bool:
    """Whether the call was admitted."""
    ticket = breaker.admit(now)
    if ticket is not None:
        breaker.ended(ticket, now, failed=failed)
    return ticket is not None


def opened(now: float = 0.0, retry_after: float = 0.0) -> Breaker:
    breaker = Breaker(RULE)
    for _ in range(4):
        ticket = breaker.admit(now)
        assert ticket is not None
        breaker.ended(ticket, now, failed=True, retry_after=retry_after)
    assert breaker.state == "open"
    return breaker


def state_of(breaker: Breaker) -> State:
    """For mypy, which takes a state for lasting."""
    return breaker.state


def outcomes(breaker: Breaker, answers: Sequence[bool], now: float = 0.0) -> State:
    for failed in answers:
        call(breaker, now, failed=failed)
    return breaker.state


@pytest.mark.parametrize(
    ("failures", "state"),
    [
        ([True] * 3, "closed"),
        ([True] * 4, "open"),
        ([False, True, True, False, True], "open"),
        ([False, False, False, True, True], "closed"),
        ([False] * 6 + [True] * 4, "open"),  # in a row, though the share is 0.4
        ([False] * 6 + [True] * 3, "closed"),
        ([True] * 2 + [False] * 6 + [True] * 3, "closed"),
    ],
)
def test_it_opens_at_a_share_or_a_row_of_failures(failures: list[bool], state: State) -> None:
    assert outcomes(Breaker(RULE), failures) == state


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(RULE)
    outcomes(breaker, [False, True, True], now=0.0)
    assert outcomes(breaker, [False, True], now=11.0) == "closed"


def test_open_admits_nobody_then_one_probe_whose_answer_closes() -> None:
    breaker = opened()
    assert breaker.admit(1.9) is None
    assert breaker.probe_in(0.5) == 1.5
    probe = breaker.admit(2.0)
    assert probe is not None and state_of(breaker) == "half_open"
    assert breaker.admit(100.0) is None, "one probe, however long it takes"
    breaker.ended(probe, 2.1, failed=False)
    assert state_of(breaker) == "closed"
    assert breaker.admit(2.1) is not None


def test_a_failed_probe_opens_it_for_another_pause() -> None:
    breaker = opened()
    probe = breaker.admit(2.0)
    assert probe is not None
    breaker.ended(probe, 3.0, failed=True)
    assert breaker.is_probe(probe)
    assert breaker.admit(4.9) is None
    assert breaker.admit(5.0) is not None


def test_a_probe_that_we_gave_up_says_nothing_and_the_next_may_go_at_once() -> None:
    breaker = opened()
    probe = breaker.admit(2.0)
    assert probe is not None
    breaker.cancelled(probe)
    assert breaker.state == "open"
    assert breaker.admit(2.5) is not None


def test_failures_of_long_ago_do_not_count_however_steadily_calls_end() -> None:
    breaker = Breaker(RULE)
    outcomes(breaker, [False] * 3 + [True] * 3, now=0.0)
    outcomes(breaker, [False] * 5, now=9.5)
    assert outcomes(breaker, [True], now=10.4) == "closed", "one of six"


def test_a_call_from_before_that_is_cancelled_leaves_the_probe_alone() -> None:
    breaker = Breaker(RULE)
    late = breaker.admit(0.0)
    outcomes(breaker, [True] * 4)
    assert breaker.admit(2.0) is not None
    breaker.cancelled(late or 0)
    assert (breaker.state, breaker.admit(2.0)) == ("half_open", None)


def test_calls_from_before_a_change_say_nothing() -> None:
    breaker = Breaker(RULE)
    late = [breaker.admit(0.0) for _ in range(8)]
    for ticket in late[:4]:
        breaker.ended(ticket or 0, 0.0, failed=True)
    breaker.ended(late[4] or 0, 0.1, failed=False)
    assert breaker.state == "open", "a late answer does not close it"
    call(breaker, 2.0, failed=False)
    for ticket in late[5:]:
        breaker.ended(ticket or 0, 2.1, failed=True)
    assert outcomes(breaker, [True] * 3, now=2.1) == "closed", "late failures do not count against the new time"


def test_what_the_api_asks_for_is_heeded_within_reason() -> None:
    assert opened(retry_after=30.0).probe_in(0.0) == 30.0
    assert opened(retry_after=1e9).probe_in(0.0) == 60.0


def test_each_transition_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    breaker = Breaker(RULE, lambda old, new: told.append((old, new)))
    outcomes(breaker, [True] * 9)
    call(breaker, 2.0, failed=True)
    call(breaker, 4.0, failed=False)
    assert told == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    assert breaker.transitions == 5


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.sampled_from(["start", "ok", "failed", "cancelled"])), max_size=80))
def test_whatever_happens_there_is_one_probe_and_a_way_back(steps: list[tuple[float, str]]) -> None:
    breaker, out, now = Breaker(RULE), [], 0.0
    for passed, what in steps:
        now += passed
        if what == "start":
            ticket = breaker.admit(now)
            if ticket is not None:
                out.append(ticket)
        elif out:
            ticket = out.pop(0)
            if what == "cancelled":
                breaker.cancelled(ticket)
            else:
                breaker.ended(ticket, now, failed=what == "failed")
        assert sum(breaker.state == "half_open" and ticket == breaker.transitions for ticket in out) == (
            breaker.state == "half_open"
        )
    for ticket in out:
        breaker.ended(ticket, now, failed=True)
    assert breaker.admit(now + RULE.pause) is not None, "never closed for good"


# -- the gate


def test_repeats_are_counted_and_are_no_orders_first_calls() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock, ceiling=100)
        for _ in range(2):
            await gate.enter()
        for _ in range(3):
            await gate.enter(again=True)
        assert (gate.repeats, gate.budget._calls.total, gate.limiter.in_flight) == (3, 2, 5)

    asyncio.run(test())


def a_gate(clock: ManualClock, *, ceiling: int = 10, rate: float = 0.0) -> Gate:
    return Gate(
        breaker=Breaker(RULE),
        limiter=Limiter(floor=ceiling, ceiling=ceiling, start=ceiling),
        pace=Pace(rate),
        budget=RetryBudget(0.2),
        unusable=UnusableLimit(50, 0.5, 10.0),
        clock=clock,
    )


def jump(seconds: float) -> None:
    """The running loop's clock, by which deadlines are counted."""
    loop: Any = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds


async def fail_until_open(gate: Gate) -> None:
    while gate.breaker.state == "closed":
        gate.leave(await gate.enter(), "timeout", 0.1)


def test_at_the_limit_calls_wait_in_their_order() -> None:
    async def test() -> None:
        gate, done = a_gate(ManualClock(), ceiling=2), list[int]()

        async def order(number: int) -> int:
            ticket = await gate.enter()
            done.append(number)
            return ticket

        tasks = [asyncio.create_task(order(number)) for number in range(5)]
        await turns()
        assert (done, gate.waiting, gate.limiter.in_flight) == ([0, 1], 3, 2)
        gate.leave(0, "scored", 0.1)
        await turns()
        assert done == [0, 1, 2]
        for _ in range(4):
            gate.leave(0, "scored", 0.1)
            await turns()
        assert (done, gate.limiter.in_flight) == ([0, 1, 2, 3, 4], 0)
        await asyncio.gather(*tasks)

    asyncio.run(test())


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock, rate=1.0)
        await gate.enter()
        first = asyncio.create_task(gate.enter())
        await turns()
        clock.advance(1.1)  # there is room again, and the timer has not fired yet
        second = asyncio.create_task(gate.enter())
        await turns()
        assert not second.done()
        gate._on_timer()
        await turns()
        assert (first.done(), second.done()) == (True, False)
        second.cancel()

    asyncio.run(test())


@pytest.mark.parametrize("let_in_first", [False, True])
def test_one_that_stops_waiting_takes_no_place(let_in_first: bool) -> None:
    async def test() -> None:
        gate = a_gate(ManualClock(), ceiling=1)
        await gate.enter()
        impatient = asyncio.create_task(gate.enter())
        patient = asyncio.create_task(gate.enter())
        await turns()
        if let_in_first:
            gate.leave(0, "scored", 0.1)  # it has its place, and does not know it yet
        impatient.cancel()
        await turns()
        if not let_in_first:
            gate.leave(0, "scored", 0.1)
        await turns()
        assert patient.done() and impatient.cancelled()
        assert (gate.limiter.in_flight, gate.waiting) == (1, 0)

    asyncio.run(test())


def test_while_open_calls_wait_and_the_first_of_them_is_the_probe() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock)
        await fail_until_open(gate)
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await turns()
        assert not any(task.done() for task in waiting)
        clock.advance(2.0)
        gate._on_timer()
        await turns()
        assert [task.done() for task in waiting] == [True, False, False]
        gate.leave(waiting[0].result(), "scored", 0.1)
        await turns()
        assert all(task.done() for task in waiting)

    asyncio.run(test())


def test_the_pause_ends_by_itself() -> None:
    async def test() -> None:
        gate = Gate(
            breaker=Breaker(RULE._replace(pause=0.01)),
            limiter=Limiter(floor=1, ceiling=1, start=1),
            pace=Pace(0),
            budget=RetryBudget(0.2),
            unusable=UnusableLimit(50, 0.5, 10.0),
        )
        await fail_until_open(gate)
        async with asyncio.timeout(10):
            await gate.enter()
        assert gate.breaker.state == "half_open"

    asyncio.run(test())


def test_one_timer_is_for_all_who_wait_and_only_where_time_alone_lets_them_in() -> None:
    async def test() -> None:
        paced = a_gate(ManualClock(), rate=1.0)
        await paced.enter()
        waiting = [asyncio.create_task(paced.enter())]
        await turns()
        timer = paced._timer
        waiting.append(asyncio.create_task(paced.enter()))
        await turns()
        assert timer and paced._timer is timer
        full = a_gate(ManualClock(), ceiling=1)
        await full.enter()
        waiting.append(asyncio.create_task(full.enter()))
        clock = ManualClock()
        probed = a_gate(clock)
        await fail_until_open(probed)
        clock.advance(2.0)
        await probed.enter()
        waiting.append(asyncio.create_task(probed.enter()))
        await turns()
        assert (full.waiting, full._timer, probed.waiting, probed._timer) == (1, None, 1, None)
        for task in waiting:
            task.cancel()

    asyncio.run(test())


def test_a_failed_probe_gives_up_at_once_so_that_another_order_is_next() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock)
        await fail_until_open(gate)
        clock.advance(2.0)
        probe = await gate.enter()
        gate.leave(probe, "unavailable", 0.1)
        assert not gate.may_repeat(probe)

    asyncio.run(test())


def test_an_open_circuit_takes_no_orders_but_the_one_that_finds_out() -> None:
    async def test() -> None:
        clock = ManualClock()
        gate = a_gate(clock)
        risk = GuardedRisk(await RiskClient.open(Settings()), gate, clock)
        assert risk.closed_for(False) == risk.closed_for(True) == ""
        await fail_until_open(gate)
        assert risk.closed_for(False) and risk.closed_for(True)
        clock.advance(2.0)
        assert risk.closed_for(False), "those in flight will find out"
        assert not risk.closed_for(True)
        probe = await gate.enter()
        assert risk.closed_for(True), "one probe"
        gate.leave(probe, "scored", 0.1)
        assert not risk.closed_for(False)
        await risk.close()

    asyncio.run(test())


def test_the_client_that_is_opened_with_a_gate_waits_at_it() -> None:
    async def test() -> None:
        risk = await GuardedRisk.open(Settings(risk_url="http://127.0.0.1:1"))
        await fail_until_open(risk.gate)
        asking = asyncio.create_task(risk.assess(an_order()))
        await turns()
        assert (risk.gate.waiting, asking.done()) == (1, False)
        asking.cancel()
        await risk.close()

    asyncio.run(test())


class FakeIntake:
    """Closed, or open for a probe only, as it is told."""

    def __init__(self) -> None:
        self.closed, self.probe = True, False

    def closed_for(self, idle: bool) -> str:
        return "closed by the test" if self.closed and not (idle and self.probe) else ""


def test_without_anything_that_stops_it_intake_is_not_stopped() -> None:
    brakes = Brakes()
    brakes.ended(letter=True)
    assert (brakes.holds(idle=False), brakes.problems(), brakes.notes()) == (False, [], [])
    brakes = Brakes(circuit=FakeIntake())
    assert (brakes.holds(idle=False), brakes.problems()) == (True, [])
    assert brakes.notes() == ["closed by the test"]


def test_while_intake_is_closed_no_order_is_taken_and_no_retry_is_started() -> None:
    rig, intake = Rig(), FakeIntake()
    rig.brakes._circuit = intake
    rig.accept_retry(rig.record(order_json(), topic="orders-retry"))
    rig.advance(1)
    run(rig.run())
    assert not rig.pipeline.flights, "it waits on"
    assert rig.brakes.notes() == ["closed by the test"]
    assert rig.brakes.problems() == [], "nothing is wrong with this worker"

    async def test() -> None:
        room = asyncio.ensure_future(rig.pipeline.room())
        await turns()
        assert not room.done()
        intake.probe = True
        await room
        rig.pipeline.accept(rig.record(order_json()))
        second = asyncio.ensure_future(rig.pipeline.room())
        await turns()
        assert not second.done(), "one is enough to find out"
        intake.closed = False
        await second
        await rig.pipeline.start_due()

    run(test())
    assert len(rig.pipeline.flights) == 2


def test_waiting_at_the_gate_does_not_use_up_the_deadline() -> None:
    """Nobody listens; the order is tried, waits for long while the circuit is open, and is tried again."""

    async def test() -> None:
        clock = ManualClock()
        settings = Settings(
            risk_url="http://127.0.0.1:1", risk_deadline=30, risk_attempt_timeout=30, risk_breaker_min_calls=1
        )
        gate = make_gate(settings, clock)
        client = await RiskClient.open(settings, guard=gate, backoff=Backoff(0.001, 0.0, 0.001))
        task = asyncio.create_task(client.assess(an_order()))
        async with asyncio.timeout(600):
            while not gate.waiting:  # noqa: ASYNC110 - the gate tells nobody
                await asyncio.sleep(0)
            jump(60)  # longer than the deadline: the very thing that must not matter
            await turns()
            assert not task.done()
            clock.advance(3.0)
            gate._on_timer()
            with pytest.raises(RiskUnavailable) as failure:
                await task
        assert failure.value.attempts == 2, "the probe was made although the deadline had passed while waiting"
        await client.close()

    asyncio.run(test())
