"""What `seen` remembers is never the last word: PostgreSQL may have been taken back (docs/adr/0027)."""

import pytest

from tests.unit.pipeline_rig import Rig, id_of, order_json, run


async def settled_once(rig: Rig, value: bytes) -> None:
    """An order that is decided, published, and marked."""
    rig.pipeline.accept(rig.record(value))
    await rig.run()
    assert rig.acknowledged == [("orders", rig.record(value).partition, 0)]
    rig.acknowledged.clear()


def test_a_repeat_is_done_and_publishes_nothing_again() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        for offset in (1, 2):
            rig.pipeline.accept(rig.record(value, offset=offset))
        await rig.run()
        assert [offset for _, _, offset in rig.acknowledged] == [1, 2]
        assert len(rig.publisher.values("order-status")) == 1
        assert len(rig.publisher.topics["seen-changelog"]) == 1
        assert not rig.publisher.reasons()
        assert not rig.flights
        assert len(rig.risk.calls) == 1
        assert dict(rig.metrics.duplicates.read().values) == {(): 2}

    run(play())


def test_other_content_is_in_conflict_with_the_row() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        rig.pipeline.accept(rig.record(order_json(id_of(value), amount="9.00"), offset=1))
        await rig.run()
        assert rig.publisher.reasons() == ["conflict"]
        assert len(rig.acknowledged) == 1

    run(play())


@pytest.mark.parametrize("amount", ["1500.00", "9.00"])
def test_nothing_is_a_duplicate_of_or_in_conflict_with_a_row_that_is_lost(amount: str) -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        row = rig.store.rows.pop(id_of(value))
        again = order_json(id_of(value), amount=amount)
        rig.pipeline.accept(rig.record(again, offset=1, replayed=True))
        await rig.scoring.look_up_once()
        assert [mark.order_id for mark in rig.store.expected] == [row.order_id], "PostgreSQL has to account for it"
        assert not rig.acknowledged and not rig.publisher.reasons() and len(rig.risk.calls) == 1
        rig.store.rows[row.order_id] = row  # `restore` has run
        await rig.run()
        assert len(rig.acknowledged) == 1
        assert rig.publisher.reasons() == ([] if amount == "1500.00" else ["conflict"])
        assert rig.store.rows == {row.order_id: row}

    run(play())


def test_what_restore_could_not_bring_back_is_a_new_order() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        rig.store.rows.clear()
        rig.pipeline.accept(rig.record(value, offset=1))
        await rig.scoring.look_up_once()
        rig.store.bring_back()
        await rig.run()
        assert len(rig.risk.calls) == 2 and len(rig.acknowledged) == 1
        assert id_of(value) in rig.store.rows

    run(play())


@pytest.mark.parametrize(("amount", "reasons"), [("1500.00", []), ("9.00", ["conflict"])])
def test_of_a_row_that_was_removed_seen_alone_knows_the_content(amount: str, reasons: list[str]) -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        rig.store.remove([id_of(value)])
        rig.pipeline.accept(rig.record(order_json(id_of(value), amount=amount), offset=1))
        await rig.run()
        assert len(rig.acknowledged) == 1
        assert rig.publisher.reasons() == reasons

    run(play())


def test_who_is_asked_to_publish_a_row_again_is_not_done_by_a_repeat_of_the_order() -> None:
    async def play() -> None:
        rig, value = Rig(), order_json()
        await settled_once(rig, value)
        rig.pipeline.accept(rig.record(value, offset=1))
        asked = (("x-attempts", b"1"), ("x-first-failed-at", b"1"), ("x-next-attempt-at", b"1"))
        rig.accept_retry(rig.record(value, offset=0, topic="orders-retry", headers=asked))
        await rig.run(8)
        assert len(rig.publisher.values("order-status")) == 2
        assert len(rig.acknowledged) == 2

    run(play())
