"""Orders of `orders-retry` wait for their time: as many as there is room for, and their room is given back."""

from datetime import timedelta

import pytest

from creditstream.order.record import Turn
from tests.unit.pipeline_rig import ROUTES, Rig, order_json, run


def park(rig: Rig, seconds: float, offset: int = 0, *, value: bytes | None = None) -> None:
    """An order on `orders-retry` whose next turn is so many seconds away."""
    value = value or order_json()
    waiting = rig.record(value).waiting(Turn(1, rig.now, rig.now + timedelta(seconds=seconds)))
    rig.pipeline.accept_retry(rig.record(value, topic="orders-retry", offset=offset, headers=waiting))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Its room is taken by orders that are due in 10, 20 and 30 seconds."""
    monkeypatch.setattr("creditstream.order.delays._MOST_BYTES", 500)
    rig = Rig()
    for offset, seconds in enumerate((30, 10, 20)):
        assert rig.pipeline._waiting_room.has_room()
        park(rig, seconds, offset)
    assert not rig.pipeline._waiting_room.has_room()
    return rig


def test_the_room_of_an_order_is_given_back_when_it_starts(full: Rig) -> None:
    for again in range(3):
        full.advance(10)
        run(full.run())
        assert full.pipeline._waiting_room.has_room(), again
        park(full, 30, 3 + again)
        assert not full.pipeline._waiting_room.has_room()


def test_the_room_of_all_is_given_back_when_their_partitions_go(full: Rig) -> None:
    full.pipeline.own(None)
    full.pipeline.own(frozenset(range(ROUTES.partitions)))
    for seconds in (30, 10, 20):
        assert full.pipeline._waiting_room.has_room(), "they come again"
        park(full, seconds)
    full.advance(31)
    run(full.run())
    assert len(full.acknowledged) == 3
