"""An order of which PostgreSQL can say nothing yet waits alone, and is proposed again."""

import asyncio

import pytest

from creditstream.order import unanswered
from creditstream.order.ports import Refused
from devtools.wait import wait_for_async
from tests.unit.pipeline_rig import Rig, id_of, order_json

_AT_LAST = Refused("constraint_violation", "no month")


@pytest.fixture(autouse=True)
def a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unanswered, "_MOMENT", 0.001)


async def _until_landed(rig: Rig) -> None:
    async def has_landed() -> bool:
        await rig.run()
        return not rig.flights

    await wait_for_async(has_landed, 10.0, "no order is in flight")


async def _proposed(rig: Rig, value: bytes, times: int) -> None:
    """It is proposed so many times more."""
    before = len(rig.store.batches)

    async def is_proposed() -> bool:
        await rig.run()
        return (
            sum(id_of(value) in {each.order.order_id for each in batch} for batch in rig.store.batches[before:])
            >= times
        )

    await wait_for_async(is_proposed, 10.0, "it is proposed again")


def test_the_others_are_done_and_it_is_proposed_until_there_is_an_answer() -> None:
    async def scenario() -> None:
        rig, held, other = Rig(), order_json(), order_json()
        end = rig.store.hold([id_of(held)])
        for offset, value in enumerate((held, other)):
            rig.pipeline.accept(rig.record(value, offset=offset))
        await _proposed(rig, held, 3)
        assert list(rig.store.rows) == [id_of(other)] and len(rig.acknowledged) == 1
        assert rig.settlement.unpublished == 0
        end()
        await _until_landed(rig)
        assert len(rig.acknowledged) == 2 and rig.publisher.reasons() == []
        assert rig.risk.calls == [id_of(held), id_of(other)], "nobody is asked again"
        assert [row["version"] for row in rig.publisher.values("order-status")] == [1, 1]

    asyncio.run(scenario())


def test_what_it_is_meanwhile_is_what_is_proposed() -> None:
    """It waited as under review, and is decided by then: one row, one status."""

    async def scenario() -> None:
        rig, value = Rig(), order_json()
        end, gate = rig.store.hold([id_of(value)]), rig.risk.hold(id_of(value))
        rig.pipeline.accept(rig.record(value))
        scoring = asyncio.create_task(rig.scoring.score_once())
        await rig.risk.wait_for_calls(1)
        rig.advance(2)
        await _proposed(rig, value, 2)
        gate.set()
        await scoring
        end()
        await _until_landed(rig)
        assert [row["status"] for row in rig.publisher.values("order-status")] == ["approved"]

    asyncio.run(scenario())


def test_given_up_it_is_proposed_no_more() -> None:
    async def scenario() -> None:
        rig, held, other = Rig(), order_json(), order_json()
        rig.store.hold([id_of(held)])
        rig.pipeline.accept(rig.record(held))
        await _proposed(rig, held, 2)
        rig.pipeline.own(None)
        rig.pipeline.own(frozenset(range(4)), interrupted=True)
        await asyncio.sleep(0)
        before = len(rig.store.batches)
        end = rig.store.hold([id_of(other)])
        rig.pipeline.accept(rig.record(other))
        await _proposed(rig, other, 3)
        end()
        await _until_landed(rig)
        assert {each.order.order_id for batch in rig.store.batches[before:] for each in batch} == {id_of(other)}

    asyncio.run(scenario())


@pytest.mark.parametrize("longest", [0.0, 1_000.0])
def test_where_it_may_not_end_it_is_refused_after_a_time(monkeypatch: pytest.MonkeyPatch, longest: float) -> None:
    monkeypatch.setattr(unanswered, "_LONGEST", longest)

    async def scenario() -> None:
        rig, value = Rig(), order_json()
        end = rig.store.hold([id_of(value)], _AT_LAST)
        rig.pipeline.accept(rig.record(value))
        if longest:
            await _proposed(rig, value, 3)
            end()
        await _until_landed(rig)
        assert rig.publisher.reasons() == ([] if longest else ["constraint_violation"])
        assert len(rig.acknowledged) == 1

    asyncio.run(scenario())


def test_with_nothing_to_come_to_it_waits_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unanswered, "_LONGEST", 0.0)

    async def scenario() -> None:
        rig, value = Rig(), order_json()
        end = rig.store.hold([id_of(value)])
        rig.pipeline.accept(rig.record(value))
        await _proposed(rig, value, 3)
        end()
        await _until_landed(rig)
        assert rig.publisher.reasons() == [] and id_of(value) in rig.store.rows

    asyncio.run(scenario())


@pytest.mark.parametrize("comes_back", [True, False])
def test_nobody_is_asked_while_it_is_open_whether_its_row_is_there(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """Its month is being dropped, and may be kept. A new order beside it goes on."""

    async def scenario() -> None:
        before, value, other = Rig(), order_json(), order_json()
        before.pipeline.accept(before.record(value))
        await before.run()
        end = before.store.hold([id_of(value)], Refused("row_removed", "as it seems"))
        rig = Rig(store=before.store)
        for offset, each in enumerate((value, other)):
            rig.pipeline.accept(rig.record(each, offset=offset, replayed=True))

        async def is_other_done() -> bool:
            await rig.run()
            return len(rig.acknowledged) == 1

        await wait_for_async(is_other_done, 10.0, "the other is done")
        assert rig.risk.calls == [id_of(other)] and list(rig.flights) == [id_of(value)]
        if comes_back:
            end()
        else:
            monkeypatch.setattr(unanswered, "_LONGEST", 0.0)
        await _until_landed(rig)
        assert rig.risk.calls == [id_of(other)]
        assert rig.publisher.reasons() == ([] if comes_back else ["row_removed"])
        assert len(rig.publisher.values("order-status")) == 1 + comes_back

    asyncio.run(scenario())
