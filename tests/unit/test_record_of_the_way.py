"""A record between its topic and its outcome: where it first stood, its turns, its trace, what its letter says."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from creditstream.errors import RiskRefused, RiskUnavailable
from creditstream.order.record import Origin, Record, Turn
from creditstream.order.record_time import LAST_MS, moment
from creditstream.order.reopening import small_number
from schemas import headers
from schemas.assessment import Assessment
from tests.unit.pipeline_rig import NOW, Rig, order_json, scored

_TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_ORIGIN = dict(zip(headers.ORIGIN, (b"orders", b"3", b"7", b"9"), strict=True))


def forwarded(ours: dict[str, bytes], *producers: tuple[str, bytes]) -> Record:
    found = (*producers, *ours.items())
    return Record("orders-by-id", 0, 12, 5, b"k", b"{}", found, headers.HOP, replayed=False, acknowledge=lambda: None)


@pytest.mark.parametrize("missing", headers.ORIGIN)
def test_an_origin_is_whole_or_it_is_where_the_record_stands(missing: str) -> None:
    assert forwarded(_ORIGIN).origin == Origin("orders", 3, 7, 9)
    assert forwarded({name: value for name, value in _ORIGIN.items() if name != missing}).origin == Origin(
        "orders-by-id", 0, 12, 5
    )


def test_a_trace_is_known_by_its_name_too() -> None:
    assert forwarded({}, ("a-trace-of-another-kind", _TRACE)).traceparent == ()
    assert forwarded({}, ("a", _TRACE), ("traceparent", _TRACE)).traceparent == (("traceparent", _TRACE),)


def test_a_letter_tells_how_often_and_since_when() -> None:
    record, before = forwarded(_ORIGIN), NOW - timedelta(hours=1)
    letter = record.letter("risk_refused", "why", NOW, Turn(1, before, None))
    assert (letter.attempts, letter.first_failed_at, letter.last_failed_at) == (1, before, NOW)
    assert record.letter("risk_refused", "why", NOW).first_failed_at == NOW
    assert [record.letter("risk_refused", "why", NOW, turn).attempts for turn in (None, Turn(0), Turn(1))] == [1, 1, 1]


@pytest.mark.parametrize(
    ("attempts", "turn"),
    [(b"3", Turn(3, NOW, NOW)), (b"0", Turn(0, NOW, NOW)), (b"-1", Turn()), (b"x", Turn()), (None, Turn())],
)
def test_a_turn_is_told_by_how_often_it_failed_or_it_is_the_first(attempts: bytes | None, turn: Turn) -> None:
    moment = str(int(NOW.timestamp() * 1000)).encode()
    found = [(headers.ATTEMPTS, attempts), (headers.FIRST_FAILED, moment), (headers.DUE, moment)]
    assert Rig().record(b"{}", topic="orders-retry", headers=found).turn == turn


@pytest.mark.parametrize(("ms", "is_time"), [(-1, False), (0, True), (LAST_MS, True), (LAST_MS + 1, False)])
def test_a_turns_time_is_one_of_the_calendar(ms: int, is_time: bool) -> None:
    found = [(headers.ATTEMPTS, b"1"), (headers.FIRST_FAILED, b"%d" % ms), (headers.DUE, b"%d" % ms)]
    time = moment(ms) if is_time else None
    assert Rig().record(b"{}", topic="orders-retry", headers=found).turn == Turn(1, time, time)


@pytest.mark.parametrize(("text", "number"), [("999999999", 999_999_999), ("1000000000", None), ("0", 0), ("", None)])
def test_a_version_has_at_most_nine_digits(text: str, number: int | None) -> None:
    assert small_number(text) == number


def test_repeats_that_join_are_counted_and_the_commit_is_timed() -> None:
    rig, value = Rig(), order_json()
    for _ in range(3):
        rig.pipeline.accept(rig.record(value))
    asyncio.run(rig.run())
    assert rig.metrics.duplicates.read().values[()] == 2
    assert all(sum(series.read().counts) for series in (rig.metrics.publish_seconds, rig.metrics.mark_seconds))


def three_seconds_late() -> Rig:
    """After its records were written."""
    rig = Rig()
    rig.metrics.now = lambda: NOW.timestamp() + 3.0
    return rig


def timed(rig: Rig) -> list[int]:
    """How many orders count for how long a decision takes: until it is committed, and until it is published."""
    found = [series.read() for series in (rig.metrics.committed, rig.metrics.published)]
    assert [each.total for each in found] == pytest.approx([3.0 * sum(each.counts) for each in found])
    return [sum(each.counts) for each in found]


@pytest.mark.parametrize(
    ("answer", "count"), [(scored(700), 1), (scored(1), 1), (RiskRefused("422"), 0), (RiskUnavailable("down"), 0)]
)
def test_how_long_a_decision_takes_is_of_decided_orders_alone(answer: Assessment | Exception, count: int) -> None:
    rig, value = three_seconds_late(), order_json()
    rig.answer(value, answer)
    rig.pipeline.accept(rig.record(value))
    asyncio.run(rig.run())
    assert timed(rig) == [count, count]


def test_an_order_that_is_decided_while_it_is_committed_as_under_review_counts_when_its_decision_is() -> None:
    rig = three_seconds_late()
    gate, commit = rig.risk.hold(), rig.store.commit

    async def play() -> None:
        rig.pipeline.accept(rig.record(order_json()))
        scoring = asyncio.ensure_future(rig.scoring.score_once())
        await rig.risk.wait_for_calls(1)
        rig.advance(2.0)

        async def decided(proposals: Any) -> Any:
            gate.set()
            await scoring
            return await commit(proposals)

        rig.store.commit = decided  # type: ignore[method-assign]
        await rig.settlement.commit_once()
        assert timed(rig) == [0, 0]
        await rig.run()
        assert timed(rig) == [1, 1]

    asyncio.run(play())
    assert [status["status"] for status in rig.publisher.values("order-status")][-1] == "approved"


def test_what_is_found_committed_ends_as_its_row_says() -> None:
    other, value = Rig(), order_json()
    other.pipeline.accept(other.record(value))
    asyncio.run(other.run())
    rig = Rig(store=other.store)
    rig.pipeline.own(frozenset(range(4)))
    for _ in range(2):
        rig.pipeline.accept(rig.record(value, replayed=True))
    asyncio.run(rig.run())
    assert rig.metrics.finished.read().values == other.metrics.finished.read().values
    assert rig.metrics.duplicates.read().values[()] == 1


def test_an_order_that_cannot_be_looked_up_is_scored_and_the_others_are_found() -> None:
    rig, bad = Rig(), UUID(int=3)
    find = rig.store.find

    async def fails(order_ids: Sequence[UUID]) -> Any:
        if bad in order_ids:
            raise OverflowError("nobody foresaw this")
        return await find(order_ids)

    rig.store.find = fails  # type: ignore[method-assign]
    for number in range(1, 6):
        rig.pipeline.accept(rig.record(order_json(order_id=str(UUID(int=number))), replayed=True))
    asyncio.run(rig.run())
    assert set(rig.store.rows) == {UUID(int=number) for number in range(1, 6)}
    assert rig.metrics.record_errors.read().values["looked up",] == 1
