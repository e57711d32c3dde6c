"""What follows a commit is done in one order, so that a crash between two steps repeats and never skips."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.order import settlement
from creditstream.order.changelog import _by_partition
from creditstream.order.ports import Outgoing
from tests.unit.deadly import DeadlyPublisher, Killed
from tests.unit.pipeline_rig import FakePublisher, Rig, home_of, id_of, order_json, run, scored, turns

REFUSED, UNUSABLE, AWAY = RiskRefused("422"), RiskUnusable("no score", ("no_file",), "m-1"), RiskUnavailable("down")
FOLLOWED = [(REFUSED, "orders-dead-letter"), (UNUSABLE, "orders-dead-letter"), (AWAY, "orders-retry")]


class Witness(FakePublisher):
    """Notes at each publication what was done before it: the topic, marks on the disk, acknowledgements."""

    def __init__(self) -> None:
        super().__init__()
        self.rig: Rig | None = None
        self.seen: list[tuple[str, int, int]] = []

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        assert self.rig
        marks = sum(map(len, self.rig.seen.partitions.values()))
        self.seen.append((topic, marks, len(self.rig.acknowledged)))
        return await super().publish(topic, records)


@pytest.mark.parametrize(("error", "topic"), FOLLOWED)
def test_the_mark_comes_after_what_follows_and_the_acknowledgement_last(error: Exception, topic: str) -> None:
    witness = Witness()
    witness.rig = rig = Rig(publisher=witness)
    value = order_json()
    rig.answer(value, error)
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    assert witness.seen == [("order-status", 0, 0), (topic, 0, 0), ("seen-changelog", 0, 0)]
    assert rig.seen.fingerprint(home_of(value), id_of(value))
    assert len(rig.acknowledged) == 1


@pytest.mark.parametrize(("error", "topic"), FOLLOWED)
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_death_before_any_step_loses_no_letter_and_no_turn(error: Exception, topic: str, step: int) -> None:
    publisher = DeadlyPublisher(random.Random(1))  # dies before the call that the fuse counts down to
    publisher._dice.random = lambda: 1.0  # type: ignore[method-assign]
    dead, value = Rig(publisher=publisher), order_json()
    dead.answer(value, error)
    dead.pipeline.accept(dead.record(value))
    publisher.fuse = step
    with pytest.raises(Killed):
        run(dead.run())
    next_one = Rig(store=dead.store, publisher=publisher)
    next_one.answer(value, error)
    for partition, mark in publisher.topics["seen-changelog"]:
        next_one.seen.put(partition, {mark.key: mark.value}, 0)
    next_one.pipeline.accept(next_one.record(value, replayed=True))
    run(next_one.run())
    assert publisher.topics[topic], "it went on, or somebody can send it again"
    assert len(next_one.acknowledged) == 1


@pytest.mark.parametrize("error", [REFUSED, UNUSABLE, AWAY, scored(1)])
def test_an_order_that_another_worker_decided_has_no_letter_and_no_turn(error: Exception) -> None:
    """PostgreSQL's answer counts: it was approved while this worker had no score for it, or another one."""
    other, value = Rig(), order_json()
    rig = Rig(store=other.store)
    rig.answer(value, error)
    rig.pipeline.accept(rig.record(value))
    run(rig.scoring.score_once())
    other.pipeline.accept(other.record(value))
    run(other.run())
    run(rig.run())
    assert {topic for topic, records in rig.publisher.topics.items() if records} == {"order-status", "seen-changelog"}
    assert rig.publisher.topics["order-status"] == other.publisher.topics["order-status"]
    assert len(rig.acknowledged) == 1


def test_an_order_that_waits_for_a_person_by_another_worker_has_that_letter() -> None:
    """Whoever committed it may have died before its letter."""
    other, value = Rig(), order_json()
    rig = Rig(store=other.store)
    rig.pipeline.accept(rig.record(value))
    run(rig.scoring.score_once())
    other.answer(value, REFUSED)
    other.pipeline.accept(other.record(value))
    run(other.run())
    run(rig.run())
    assert rig.publisher.reasons() == ["risk_refused"]
    assert [status["status"] for status in rig.publisher.values("order-status")] == ["under_review"]


def test_an_order_that_is_under_review_with_other_content_is_a_conflict_although_no_answer_is_there() -> None:
    other, value = Rig(), order_json()
    other.answer(value, AWAY)
    other.pipeline.accept(other.record(value))
    run(other.run())

    async def play() -> None:
        rig = Rig(store=other.store)
        rig.risk.hold()
        rig.pipeline.accept(rig.record(order_json(id_of(value), amount="7.00")))
        scoring = asyncio.ensure_future(rig.scoring.score_once())
        await rig.risk.wait_for_calls(1)
        rig.advance(2.0)  # it is committed as under review
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()
        await rig.outbox.run_once()
        assert (rig.publisher.reasons(), len(rig.flights), len(rig.acknowledged)) == (["conflict"], 0, 1)
        scoring.cancel()

    run(play())


@pytest.mark.parametrize(("interval", "commits"), [(0.0, 2), (3_600.0, 1)])
def test_what_comes_soon_after_a_commit_waits_for_others_to_go_along(
    interval: float, commits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "FLUSH_INTERVAL", interval)

    async def play() -> None:
        rig = Rig()
        committing, finishing = rig.settlement.tasks()
        finishing.close()
        loop = asyncio.ensure_future(committing)
        for _ in range(2):
            rig.pipeline.accept(rig.record(order_json()))
            await rig.scoring.score_once()
            await turns(50)
        assert len(rig.store.batches) == commits
        loop.cancel()

    run(play())


class Leaving(FakePublisher):
    """When the order is marked, one of its records has an error of its own, and a repeat joins."""

    def __init__(self) -> None:
        super().__init__()
        self.change: Callable[[], None] | None = None

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        if topic == "seen-changelog" and self.change is not None:
            change, self.change = self.change, None
            change()
        return await super().publish(topic, records)


def test_each_record_is_acknowledged_by_what_answers_it_whoever_leaves_and_joins() -> None:
    publisher, value = Leaving(), order_json()
    rig, home = Rig(publisher=publisher), home_of(value)
    leaves, stays, joins = (rig.record(value, offset=offset) for offset in range(3))

    def change() -> None:
        rig.pipeline.unforeseen(leaves, KeyError("nobody foresaw this"))
        rig.pipeline.accept(joins)

    async def play() -> None:
        rig.pipeline.accept(leaves)
        rig.pipeline.accept(stays)
        publisher.change = change
        await rig.scoring.score_once()
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()
        assert rig.acknowledged == [("orders", home, 1)], "the letter of the first is not delivered yet"
        await rig.run()

    run(play())
    assert sorted(rig.acknowledged) == [("orders", home, offset) for offset in range(3)]
    assert publisher.reasons() == ["unreadable"]


def test_of_an_order_that_was_committed_twice_in_a_batch_only_the_last_state_goes_out() -> None:
    """Else a batch that is tried again, since nobody knows whether it arrived, puts the first behind the last."""
    states = [(0, b"one", b"1"), (0, b"two", b"1"), (0, b"one", b"2"), (1, b"one", b"3")]
    batch: Any = [SimpleNamespace(flight=SimpleNamespace(partition=each[0]), state=each[1:]) for each in states]
    records = _by_partition(batch, lambda settled: Outgoing(*cast(Any, settled).state))
    assert records == {0: [Outgoing(b"two", b"1"), Outgoing(b"one", b"2")], 1: [Outgoing(b"one", b"3")]}
