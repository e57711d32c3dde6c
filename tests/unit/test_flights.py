"""What joined an order that is over waits on the board, is judged again by its loop, and is part of what drains."""

import asyncio

import pytest

from devtools.wait import wait_for_async
from tests.unit.pipeline_rig import ROUTES, Rig, home_of, order_json, run, turns


async def an_order_with_a_joiner() -> Rig:
    """The order is over; a record with its id and other content joined it meanwhile, and waits on the board."""
    rig, value = Rig(), order_json()
    order_id = value.split(b'"')[3].decode()
    rig.pipeline.accept(rig.record(value))
    rig.pipeline.accept(rig.record(order_json(order_id, amount="1.00"), offset=1, partition=home_of(value)))
    await rig.scoring.score_once()
    await rig.settlement.commit_once()
    await rig.settlement.finish_once()
    assert (len(rig.flights), len(rig.flights.again)) == (0, 1)
    assert rig.acknowledged == [("orders", home_of(value), 0)]
    return rig


def test_its_loop_judges_it_by_what_is_known_now() -> None:
    async def play() -> Rig:
        rig = await an_order_with_a_joiner()
        loops = [asyncio.ensure_future(loop) for loop in rig.pipeline.tasks()]

        async def both() -> bool:
            return len(rig.acknowledged) == 2

        await wait_for_async(both, 30, "both are acknowledged")
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        return rig

    assert run(play()).publisher.reasons() == ["conflict"]


def test_drain_waits_for_it() -> None:
    async def play() -> None:
        rig = await an_order_with_a_joiner()
        draining = asyncio.ensure_future(rig.pipeline.drain(30.0))
        await turns()
        assert not draining.done()
        await rig.run(1)
        await draining

    run(play())


def test_drain_waits_for_letters_that_are_not_delivered() -> None:
    async def play() -> None:
        rig = Rig()
        rig.pipeline.accept(rig.record(b"no order"))
        draining = asyncio.ensure_future(rig.pipeline.drain(30.0))
        await turns()
        assert not draining.done()
        await rig.outbox.run_once()
        await draining

    run(play())


@pytest.mark.parametrize("ends", ["lands", "goes"])
def test_who_waits_for_a_place_is_woken_when_an_order_ends(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creditstream.order.backpressure._TICK", 600.0)

    async def play() -> None:
        rig = Rig()
        while rig.pipeline.has_room():
            rig.pipeline.accept(rig.record(order_json()))
        waiting = asyncio.ensure_future(rig.pipeline.room())
        await turns()
        assert not waiting.done()
        if ends == "lands":
            rig.flights.land(next(iter(rig.flights.values())))
        else:
            rig.flights.keep_only(frozenset({0, 1}))
        await asyncio.wait_for(waiting, 30)

    run(play())


def test_partitions_that_are_given_up_take_it_along() -> None:
    """It was not acknowledged: it comes again, to whoever owns its partition then."""

    async def play() -> None:
        rig = await an_order_with_a_joiner()
        rig.pipeline.own(None)
        rig.pipeline.own(frozenset(range(ROUTES.partitions)))
        await rig.run(1)
        assert len(rig.acknowledged) == 1
        assert not rig.flights

    run(play())


def test_what_joins_an_order_in_flight_takes_places_too() -> None:
    """I9: one order in flight whose repeats come by the thousand is no way around the bound."""
    rig, value = Rig(), order_json()
    most = 0
    while rig.pipeline.has_room() and most < 1_000:
        rig.pipeline.accept(rig.record(value, offset=most))
        most += 1
    assert (most, len(rig.pipeline.flights)) == (100, 1), "as many records as orders: max_in_flight"
    run(rig.run())
    assert len(rig.acknowledged) == most
    assert rig.flights.held == 0
    assert rig.pipeline.has_room()


@pytest.mark.parametrize("other", [False, True])
def test_the_places_of_what_joined_are_given_back(other: bool) -> None:
    """However the order ends: it lands, its partition goes, or another delivery of it is under way by then."""
    rig, value = Rig(), order_json()
    order_id = value.split(b'"')[3].decode()
    again = order_json(order_id, amount="1.00") if other else value
    rig.pipeline.accept(rig.record(value))
    rig.pipeline.accept(rig.record(again, offset=1))
    assert rig.flights.held == 2
    [flight] = rig.flights.values()
    rig.pipeline.own(None)
    rig.pipeline.own(frozenset(range(ROUTES.partitions)), interrupted=True)
    assert rig.flights.held == 0
    rig.pipeline.accept(rig.record(value))
    rig.flights.land(flight)
    assert (rig.flights.held, len(rig.flights)) == (1, 1), "the one that was given up lands on no place of another's"
    run(rig.run())
    assert (rig.flights.held, len(rig.flights)) == (0, 0)


def test_what_waits_to_be_judged_again_has_its_place() -> None:
    async def play() -> None:
        rig = await an_order_with_a_joiner()
        assert rig.flights.held == 1
        rig.pipeline.judge_again()
        await rig.run(1)
        assert rig.flights.held == 0

    run(play())


def test_an_order_whose_only_record_is_refused_is_no_order_in_flight() -> None:
    rig, record = Rig(), Rig().record(order_json())
    rig.pipeline.accept(record)
    rig.pipeline.unforeseen(record, KeyError("nobody foresaw this"))
    assert (rig.flights.held, len(rig.flights)) == (0, 0)
    run(rig.run())
    assert rig.publisher.reasons() == ["unreadable"]
    assert not rig.store.rows
