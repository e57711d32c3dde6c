"""What a worker does differently by a setting, through the product's own assembly: nothing here sets a part's value."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from creditstream.config.settings import Settings
from creditstream.errors import RiskUnavailable
from creditstream.order.record import Record
from creditstream.risk.guarded import Gate, make_gate
from devtools.fakes import ManualClock
from tests.unit.built_worker import Worker
from tests.unit.pipeline_rig import home_of, id_of, order_json, turns

_OFFSETS = itertools.count()


def order(created: timedelta = timedelta(0), **fields: Any) -> bytes:
    """Created so long before or after now."""
    return order_json(created_at=(datetime.now(UTC) + created).isoformat(), **fields)


def accept(worker: Worker, value: bytes) -> None:
    record = Record(
        topic="orders",
        partition=home_of(value),
        offset=next(_OFFSETS),
        timestamp_ms=int(datetime.now(UTC).timestamp() * 1000),
        key=None,
        value=value,
        headers=(),
        believed=frozenset(),
        replayed=False,
        acknowledge=lambda: None,
    )
    worker.pipeline.accept(record)
    worker.run()


@pytest.mark.parametrize(("skew", "reasons"), [(86_400.0, []), (3_600.0, ["invalid_time"])])
def test_clock_skew_is_how_far_ahead_of_its_record_an_order_may_be_created(skew: float, reasons: list[str]) -> None:
    worker = Worker(clock_skew=skew)
    accept(worker, order(timedelta(hours=2)))
    assert worker.publisher.reasons() == reasons


@pytest.mark.parametrize(("hours", "calls"), [(168.0, 2), (1.0, 1)])
def test_an_order_from_before_the_window_of_seen_is_looked_up(hours: float, calls: int) -> None:
    worker, value = Worker(seen_retention=hours, clock_skew=0.0), order(-timedelta(hours=2))
    accept(worker, value)
    worker.seen.partitions.clear()
    accept(worker, value)
    assert len(worker.risk.calls) == calls


@pytest.mark.parametrize(("age", "topic"), [(86_400.0, "orders-retry"), (0.001, "orders-dead-letter")])
def test_retry_max_age_is_how_long_an_order_is_tried_again(age: float, topic: str) -> None:
    worker, value = Worker(retry_max_age=age), order()
    worker.risk.script(id_of(value), RiskUnavailable("down"))
    accept(worker, value)
    assert {name for name, records in worker.publisher.topics.items() if records} >= {topic}
    assert len(worker.publisher.topics["orders-retry"] + worker.publisher.topics["orders-dead-letter"]) == 1


@pytest.mark.parametrize(("share", "stopped"), [(0.5, True), (0.9, False)])
def test_dead_letter_share_is_the_share_that_stops_the_intake(share: float, stopped: bool) -> None:
    worker = Worker(dead_letter_limit=2, dead_letter_share=share)
    for value in (b"no order", order(), b"no order"):
        accept(worker, value)
    assert bool(worker.pipeline.brakes.problems()) == stopped


def a_gate(clock: ManualClock | None = None, **settings: Any) -> Gate:
    return make_gate(Settings(**settings), clock or ManualClock())


async def calls(gate: Gate, *outcomes: str) -> None:
    for outcome in outcomes:
        gate.leave(await gate.enter(), outcome, 0.1)


@pytest.mark.parametrize(("share", "state"), [(0.5, "open"), (0.9, "closed")])
def test_risk_breaker_share_is_the_share_of_failures_that_opens_the_circuit(share: float, state: str) -> None:
    gate = a_gate(risk_breaker_share=share, risk_breaker_min_calls=10)
    asyncio.run(calls(gate, *["scored", "timeout", "timeout"] * 3, "timeout"))
    assert gate.breaker.state == state


@pytest.mark.parametrize(("share", "stopped"), [(0.5, True), (0.9, False)])
def test_risk_breaker_share_is_the_share_of_unusable_answers_that_stops_the_intake(share: float, stopped: bool) -> None:
    gate = a_gate(risk_breaker_share=share, risk_breaker_min_calls=10)
    asyncio.run(calls(gate, *["scored", "unusable", "unusable"] * 3, "unusable"))
    assert bool(gate.unusable.problem(0.0)) == stopped


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.2, 20), (0.5, 50)])
def test_risk_retry_share_is_how_many_calls_may_be_repeats(share: float, most: int) -> None:
    gate = a_gate(risk_retry_share=share)

    async def play() -> int:
        await calls(gate, *["scored"] * 100)
        return sum(gate.may_repeat(0) for _ in range(100))

    assert asyncio.run(play()) == most


@pytest.mark.parametrize(("rate", "waits"), [(0.0, 0), (2.0, 1)])
def test_risk_rate_is_how_many_calls_may_start_in_a_second(rate: float, waits: int) -> None:
    async def play() -> int:
        clock = ManualClock()
        gate = a_gate(clock, risk_rate=rate)
        await gate.enter()
        second = asyncio.create_task(gate.enter())
        await turns()
        waiting = gate.waiting
        clock.advance(0.6)
        gate._on_timer()
        await second
        return waiting

    assert asyncio.run(play()) == waits
