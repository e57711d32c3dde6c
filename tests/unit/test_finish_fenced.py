"""While it is open whose a partition is, nothing of its orders is committed, published, marked or acknowledged."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from creditstream.errors import Fenced, RiskRefused, RiskUnavailable
from creditstream.order import changelog, settlement
from creditstream.order.ports import Outgoing
from devtools.wait import wait_for_async
from tests.unit.pipeline_rig import ROUTES, FakePublisher, Rig, home_of, order_json, run, turns

ALL = frozenset(range(ROUTES.partitions))
NOTHING: list[tuple[str, int, int]] = []
_WITHIN = 30.0


class Fence(FakePublisher):
    """Publishes to the same topics as `past` while it is open. `asked`: how often it was not."""

    def __init__(self, past: FakePublisher) -> None:
        super().__init__()
        self.topics, self.is_open, self.asked = past.topics, True, 0
        self.by_fence: list[str] = []

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        if not self.is_open:
            self.asked += 1
            raise Fenced(topic)
        self.by_fence += [topic] * sum(map(len, records.values()))
        return await super().publish(topic, records)


def fenced_rig() -> tuple[Rig, Fence]:
    publisher = FakePublisher()
    fence = Fence(publisher)
    return Rig(publisher=publisher, status_publisher=fence), fence


async def committed(rig: Rig, value: bytes) -> None:
    rig.pipeline.accept(rig.record(value))
    await rig.scoring.look_up_once()
    await rig.scoring.score_once()
    await rig.settlement.commit_once()


def marks(rig: Rig) -> int:
    """Orders that this worker's disk has as settled."""
    return sum(map(len, rig.seen.partitions.values()))


async def the_fence_is_met(fence: Fence, times: int = 3) -> None:
    async def met() -> bool:
        return fence.asked >= times

    await wait_for_async(met, _WITHIN, "the fence was met")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "_FENCED_WAIT", 0.0)


def test_statuses_and_nothing_else_go_through_the_fence() -> None:
    rig, fence = fenced_rig()
    run(committed(rig, order_json()))
    run(rig.settlement.finish_once())
    assert fence.by_fence == ["order-status"]
    assert len(rig.publisher.topics["order-status"]) == len(rig.publisher.topics["seen-changelog"]) == 1


def test_what_is_fenced_is_tried_again_and_nothing_that_follows_it_is_done_before() -> None:
    async def play() -> None:
        rig, fence = fenced_rig()
        value = order_json()
        rig.answer(value, RiskRefused("422"))
        await committed(rig, value)
        fence.is_open = False
        finishing = asyncio.create_task(rig.settlement.finish_once())
        await the_fence_is_met(fence)
        assert (dict(rig.publisher.topics), rig.acknowledged, marks(rig)) == ({}, NOTHING, 0)
        fence.is_open = True
        await finishing
        assert [len(records) for records in rig.publisher.topics.values()] == [1, 1, 1]
        assert list(rig.publisher.topics) == ["order-status", "orders-dead-letter", "seen-changelog"]
        assert len(rig.acknowledged) == 1

    run(play())


def test_what_is_fenced_and_then_another_workers_is_given_up() -> None:
    async def play() -> None:
        rig, fence = fenced_rig()
        mine, moved = order_json(), order_json()
        while home_of(mine) == home_of(moved):
            moved = order_json()
        await committed(rig, mine)
        await committed(rig, moved)
        fence.is_open = False
        finishing = asyncio.create_task(rig.settlement.finish_once())
        await the_fence_is_met(fence)
        rig.pipeline.own(None)
        rig.pipeline.own(ALL - {home_of(moved)})
        fence.is_open = True
        await finishing
        assert [partition for partition, _ in rig.publisher.topics["order-status"]] == [home_of(mine)]
        assert rig.acknowledged == [("orders", home_of(mine), 0)]
        assert rig.pipeline.unpublished == 0

    run(play())


def test_while_the_group_was_not_heard_from_lately_nothing_is_published_at_all() -> None:
    """The producer of marks and letters has no fence of its own."""

    async def play() -> None:
        rig = Rig()
        await committed(rig, order_json())
        rig.end_lease()
        finishing = asyncio.create_task(rig.settlement.finish_once())
        await turns(50)
        assert (dict(rig.publisher.topics), rig.acknowledged, marks(rig)) == ({}, NOTHING, 0)
        rig.lease_holds = True
        await finishing
        assert [len(records) for records in rig.publisher.topics.values()] == [1, 1]
        assert len(rig.acknowledged) == marks(rig) == 1

    run(play())


def test_a_batch_that_is_being_finished_waits_until_it_is_known_what_is_ours() -> None:
    async def play() -> None:
        rig = Rig()
        await committed(rig, order_json())
        rig.pipeline.own(None)
        finishing = asyncio.create_task(rig.settlement.finish_once())
        await turns()
        assert (finishing.done(), dict(rig.publisher.topics), rig.acknowledged) == (False, {}, [])
        rig.pipeline.own(ALL)
        await finishing
        assert len(rig.publisher.topics["order-status"]) == len(rig.acknowledged) == 1

    run(play())


def test_the_loops_commit_nothing_until_it_is_known_what_is_ours() -> None:
    async def play() -> None:
        rig = Rig()
        rig.pipeline.own(None)
        loops = [asyncio.ensure_future(loop) for loop in rig.settlement.tasks()]
        await turns()
        rig.pipeline.accept(rig.record(order_json()))
        await rig.scoring.score_once()
        await turns()
        assert (rig.store.batches, rig.acknowledged) == ([], [])
        rig.pipeline.own(ALL)

        async def is_done() -> bool:
            return len(rig.acknowledged) == 1

        await wait_for_async(is_done, _WITHIN, "the order is done")
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    run(play())


def test_the_loops_do_nothing_while_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "FLUSH_INTERVAL", 0.0)

    async def play() -> None:
        rig = Rig()
        loops = [asyncio.ensure_future(loop) for loop in rig.settlement.tasks()]
        await turns(50)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        assert sum(rig.metrics.publish_orders.read().counts) == 0

    run(play())


def test_what_was_given_up_after_its_score_is_not_committed() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        rig.pipeline.accept(rig.record(value))
        await rig.scoring.score_once()
        rig.pipeline.own(ALL - {home_of(value)})
        await rig.settlement.commit_once()
        assert (rig.store.batches, rig.store.rows) == ([], {})

    run(play())


def test_what_was_given_up_after_its_commit_is_not_published() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await committed(rig, value)
        rig.pipeline.own(ALL - {home_of(value)})
        await rig.settlement.finish_once()
        assert (dict(rig.publisher.topics), rig.acknowledged, rig.pipeline.unpublished) == ({}, NOTHING, 0)

    run(play())


@pytest.mark.parametrize("error", [RiskRefused("422"), RiskUnavailable("down")])
def test_what_is_given_up_while_it_is_published_has_no_more_steps(error: Exception) -> None:
    """The new owner finds the row and does them: two letters of one order would be no fault, a mark of ours would."""

    class Moving(FakePublisher):
        async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
            rig.pipeline.own(ALL - {home_of(value)})
            return await super().publish(topic, records)

    publisher = Moving()
    rig, value = Rig(publisher=publisher), order_json()
    rig.answer(value, error)
    run(committed(rig, value))
    run(rig.settlement.finish_once())
    assert list(publisher.topics) == ["order-status"]
    assert (rig.acknowledged, marks(rig)) == (NOTHING, 0)


def test_a_call_of_what_was_given_up_ends_without_taking_the_place_of_the_order_that_came_again() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        rig.risk.hold()
        rig.pipeline.accept(rig.record(value))
        asking = asyncio.create_task(rig.scoring.score_once())
        await rig.risk.wait_for_calls(1)
        rig.pipeline.own(ALL - {home_of(value)})
        rig.pipeline.own(ALL)
        rig.pipeline.accept(rig.record(value))
        rig.advance(1.5)  # it waits for its commit as under review
        await asking
        await rig.settlement.commit_once()
        assert [row.status for row in rig.store.rows.values()] == ["under_review"]

    run(play())
