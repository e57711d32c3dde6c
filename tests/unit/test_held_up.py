"""What people are told of orders that wait for PostgreSQL to have an answer."""

import asyncio

import pytest

from creditstream.order import held_up, unanswered
from creditstream.order.ports import Refused
from devtools.wait import wait_for_async
from tests.unit import pipeline_rig
from tests.unit.pipeline_rig import Rig, id_of, order_json

_MOST = 5


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_rig, "MAX_IN_FLIGHT", _MOST)
    monkeypatch.setattr(held_up, "_AFTER", 0.0)
    monkeypatch.setattr(unanswered, "_MOMENT", 0.001)


async def _with_waiting(count: int) -> Rig:
    """So many orders wait, and one is done."""
    rig, values = Rig(), [order_json() for _ in range(count)]
    rig.store.hold([id_of(value) for value in values])
    for offset, value in enumerate((order_json(), *values)):
        await rig.pipeline.room()
        rig.pipeline.accept(rig.record(value, offset=offset))
        await rig.run()
    return rig


@pytest.mark.parametrize(("count", "said"), [(0, ""), (1, "1 order waits"), (2, "2 orders wait")])
def test_they_are_told_while_others_flow(count: int, said: str) -> None:
    async def scenario() -> None:
        rig = await _with_waiting(count)
        pipeline = rig.pipeline
        assert pipeline.problems() == [] and bool(pipeline.notes()) == bool(said)
        assert all(
            note.startswith(f"{said} for their month in PostgreSQL, for 0 s: who holds") for note in pipeline.notes()
        )
        there = {(record.topic, record.partition) for flight in rig.flights.values() for record in flight.records}
        assert pipeline.held_up.partitions() == there and bool(there) == bool(count)

    asyncio.run(scenario())


def test_when_they_take_every_place_it_is_a_problem() -> None:
    async def scenario() -> None:
        rig = await _with_waiting(_MOST)
        assert not rig.pipeline.has_room() and rig.pipeline.notes() == []
        [problem] = rig.pipeline.problems()
        assert problem.endswith("they take every place, and no others are taken")

    asyncio.run(scenario())


def test_what_counts_at_last_counts_from_when_it_was_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had waited for a lock for long; then its month begins to be dropped, and may be kept."""

    async def scenario() -> None:
        rig, value = Rig(), order_json()
        end = rig.store.hold([id_of(value)])
        rig.pipeline.accept(rig.record(value))
        await rig.run()
        [flight] = rig.flights.values()
        assert flight.unanswered_since is not None
        flight.unanswered_since -= 1_000
        end()
        rig.store.hold([id_of(value)], at_last=Refused("constraint_violation", "no month"))

        async def is_doubted() -> bool:
            await rig.run()
            return flight.doubted_since is not None

        await wait_for_async(is_doubted, 10.0, "it is asked about again")
        assert rig.publisher.reasons() == [] and rig.flights
        monkeypatch.setattr(unanswered, "_LONGEST", 0.0)

        async def has_landed() -> bool:
            await rig.run()
            return not rig.flights

        await wait_for_async(has_landed, 10.0, "it has a letter")
        assert rig.publisher.reasons() == ["constraint_violation"]

    asyncio.run(scenario())
