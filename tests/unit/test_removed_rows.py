"""An order that is known and has no row any more: its month was dropped. It ends, and nobody is asked about it."""

import asyncio

from creditstream.errors import RiskRefused
from tests.unit.pipeline_rig import Rig, id_of, order_json, run
from tests.unit.test_dlq import letter_of
from tests.unit.test_for_a_person import play_again


def _removed() -> tuple[Rig, bytes]:
    """Decided by another worker, and dropped since."""
    before, value = Rig(), order_json()
    before.pipeline.accept(before.record(value))
    run(before.run())
    before.store.remove([id_of(value)])
    return Rig(store=before.store), value


def test_it_has_one_letter_and_is_done() -> None:
    rig, value = _removed()
    rig.pipeline.accept(rig.record(value, replayed=True))
    rig.advance(2)  # it is shown as under review while it is looked up
    run(rig.run(8))
    assert rig.publisher.reasons() == ["row_removed"]
    assert rig.risk.calls == [] and not rig.store.rows
    assert len(rig.acknowledged) == 1 and not rig.flights


def test_each_record_that_joined_it_has_its_letter() -> None:
    rig, value = _removed()
    rig.pipeline.accept(rig.record(value, replayed=True))
    rig.pipeline.accept(rig.record(value, offset=1))
    rig.pipeline.accept(rig.record(order_json(id_of(value), amount="2.00"), offset=2, replayed=True))
    run(rig.run(8))
    assert rig.publisher.reasons() == ["row_removed"] * 3
    assert rig.risk.calls == [] and len(rig.acknowledged) == 3


def test_found_gone_together_with_one_that_is_there_and_a_new_one() -> None:
    rig, value = _removed()
    new = order_json()
    for offset, each in enumerate((value, new)):
        rig.pipeline.accept(rig.record(each, offset=offset, replayed=True))
    run(rig.run())
    assert rig.publisher.reasons() == ["row_removed"]
    assert rig.risk.calls == [id_of(new)] and list(rig.store.rows) == [id_of(new)]


def test_sent_again_by_somebody_it_asks_nobody_and_has_a_letter_of_that() -> None:
    rig = Rig()
    value = order_json()
    rig.answer(value, RiskRefused("422"))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    letter, calls = letter_of(rig), len(rig.risk.calls)
    rig.store.remove([id_of(value)])
    play_again(rig, letter)
    assert rig.publisher.reasons() == ["risk_refused", "row_removed"]
    assert len(rig.risk.calls) == calls


def test_found_gone_it_is_not_shown_as_under_review_although_its_id_goes_by_then() -> None:
    """Found by the simulation: it made a row that nobody would ever decide, beside its letter."""
    rig, value = _removed()

    async def scenario() -> None:
        rig.pipeline.accept(rig.record(value, replayed=True))
        await rig.scoring.look_up_once()
        rig.store.forget()
        rig.advance(2)
        await rig.settlement.commit_once()
        await rig.run()

    run(scenario())
    assert rig.publisher.reasons() == ["row_removed"] and rig.store.rows == {}


def test_refused_while_it_is_asked_about_it_is_not_committed_with_the_answer() -> None:
    rig, value = _removed()

    async def scenario() -> None:
        gate = rig.risk.hold(id_of(value))
        rig.pipeline.accept(rig.record(value))
        scoring = asyncio.create_task(rig.scoring.score_once())
        await rig.risk.wait_for_calls(1)
        rig.advance(2)
        await rig.settlement.commit_once()
        rig.store.forget()
        gate.set()
        await scoring
        await rig.settlement.commit_once()
        await rig.run()

    run(scenario())
    assert rig.publisher.reasons() == ["row_removed"] and rig.store.rows == {}
