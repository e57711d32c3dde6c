"""Nobody waits for ever because of others: partitions and topics take turns; what is lost asks no more."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from creditstream.config.settings import Settings
from creditstream.order.fair_queue import FairQueue
from creditstream.order.flight import Flight
from creditstream.order.record import Turn
from creditstream.risk.allowance import Pace, RetryBudget
from creditstream.risk.breaker import Breaker, BreakerRule
from creditstream.risk.client import RiskClient
from creditstream.risk.guarded import Gate, GuardedRisk
from creditstream.risk.limiter import Limiter
from creditstream.risk.unusable import UnusableLimit
from devtools.fakes import FakeStore, ManualClock, an_order
from schemas.assessment import Assessment
from tests.unit.pipeline_rig import ROUTES, Rig, home_of, id_of, order_json, run, turns

_ALL = frozenset(range(ROUTES.partitions))


def flight(partition: int) -> Flight:
    order = an_order()
    return Flight(order, order.fingerprint(), partition, 0.0, 0, Turn())


def order_at_home(partition: int) -> bytes:
    """An order whose home that partition is."""
    return next(value for value in iter(order_json, None) if home_of(value) == partition)


def test_partitions_take_turns_for_calls_however_many_orders_one_has() -> None:
    async def test() -> None:
        queue = FairQueue()
        for partition, count in ((0, 50), (1, 2), (2, 3)):
            for _ in range(count):
                queue.put_nowait(flight(partition))
        served = [(await queue.get()).partition for _ in range(55)]
        assert served[:8] == [0, 1, 2, 0, 1, 2, 0, 2]
        assert Counter(served) == {0: 50, 1: 2, 2: 3}
        assert queue.empty()

    run(test())


def test_within_a_partition_the_first_to_come_is_the_first_to_be_served() -> None:
    async def test() -> None:
        queue, flights = FairQueue(), [flight(number % 2) for number in range(10)]
        for each in flights[:6]:
            queue.put_nowait(each)
        served = [await queue.get() for _ in range(3)]
        for each in flights[6:]:
            queue.put_nowait(each)
        served += [await queue.get() for _ in range(7)]
        for partition in (0, 1):
            assert [each for each in served if each.partition == partition] == flights[partition::2]

    run(test())


def test_an_order_is_scored_before_the_many_of_another_partition_that_came_earlier() -> None:
    rig = Rig()
    for offset in range(50):
        rig.pipeline.accept(rig.record(order_at_home(1), offset=offset))
    alone = rig.record(order_at_home(2))
    rig.pipeline.accept(alone)
    run(rig.run(1))
    assert len(rig.risk.calls) == 51
    assert rig.risk.calls.index(id_of(alone.value or b"")) <= 1


@pytest.mark.parametrize("batch", [1, 5])
def test_topics_take_turns_for_intake(batch: int) -> None:
    """Orders end one by one or by the batch; each of two agents that always have a record gets its share of places."""

    async def test() -> Counter[str]:
        rig, taken = Rig(), Counter[str]()
        pipeline = rig.pipeline

        async def agent(topic: str) -> None:
            while True:
                await pipeline.room()
                taken[topic] += 1
                pipeline.accept(rig.record(order_json(), topic=topic))

        agents = [asyncio.ensure_future(agent(topic)) for topic in ("orders", "orders-by-id")]
        await turns(300)
        assert len(pipeline.flights) == 100, "full"
        taken.clear()
        for _ in range(40):
            for each in list(pipeline.flights.values())[:batch]:
                rig.flights.land(each)
            await turns(20 * batch)
        for task in agents:
            task.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
        return taken

    taken = run(test())
    assert taken.total() == 40 * batch
    assert min(taken["orders"], taken["orders-by-id"]) >= 15 * batch


def test_one_that_stops_waiting_for_room_lets_the_next_have_it() -> None:
    async def test() -> None:
        rig = Rig()
        for offset in range(100):
            rig.pipeline.accept(rig.record(order_json(), offset=offset))
        first, second = (asyncio.ensure_future(rig.pipeline.room()) for _ in range(2))
        await turns()
        first.cancel()
        await turns()
        rig.flights.land(next(iter(rig.pipeline.flights.values())))
        async with asyncio.timeout(30):
            await second

    run(test())


# -- orders whose partition went to another worker


class Calls(RiskClient):
    """The real client; the calls are made to nobody and counted."""

    made = 0

    async def _asked(self, *request: object) -> Assessment:
        self.made += 1
        return Assessment(score=712, model_version="m")


async def _closed_gate(clock: ManualClock) -> tuple[Calls, Gate]:
    """Nobody may call for two seconds."""
    gate = Gate(
        breaker=Breaker(BreakerRule(share=0.5, min_calls=1, window=10.0, pause=2.0)),
        limiter=Limiter(floor=4, ceiling=4, start=4),
        pace=Pace(0),
        budget=RetryBudget(0.2),
        unusable=UnusableLimit(50, 0.5, 10.0),
        clock=clock,
    )
    gate.leave(await gate.enter(), "timeout", 0.1)
    assert gate.breaker.state == "open"
    return await Calls.open(Settings(), guard=gate), gate


def test_an_order_that_waits_at_the_gate_makes_no_call_once_its_partition_is_lost() -> None:
    async def test() -> None:
        rig, clock = Rig(), ManualClock()
        client, gate = await _closed_gate(clock)
        rig.scoring._risk = GuardedRisk(client, gate, clock)
        loops = [asyncio.ensure_future(rig.scoring._score_loop()) for _ in range(4)]
        for offset, partition in enumerate((1, 2)):
            rig.pipeline.accept(rig.record(order_at_home(partition), offset=offset))
        await turns()
        assert gate.waiting == 2
        rig.pipeline.own(None)
        rig.pipeline.own(_ALL - {1})
        await turns()
        assert gate.waiting == 1, "the other one waits on"
        clock.advance(2.0)
        gate._on_timer()
        await turns(50)
        assert client.made == 1
        assert gate.limiter.in_flight == 0
        [left] = rig.pipeline.flights.values()
        assert (left.partition, left.outcome) == (2, "decided")
        assert not any(loop.done() for loop in loops), "all of them go on"
        rig.pipeline.accept(rig.record(order_at_home(2), offset=9))
        await turns(50)
        assert client.made == 2
        await _end(loops)
        await client.close()

    run(test())


def test_an_order_that_another_worker_decided_makes_no_call() -> None:
    async def test() -> None:
        store = FakeStore()
        rig, other = Rig(store=store), Rig(store=store)
        client, gate = await _closed_gate(ManualClock())
        rig.scoring._risk = GuardedRisk(client, gate)
        loop = asyncio.ensure_future(rig.scoring._score_loop())
        value = order_json()
        for each in (rig, other):
            each.pipeline.accept(each.record(value))
        await turns()
        await other.run()
        rig.advance(2)  # it is to be shown as under review, and meets the row
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()
        await turns()
        assert (rig.pipeline.flights, gate.waiting, client.made) == ({}, 0, 0)
        await _end([loop])
        await client.close()

    run(test())


def test_a_lost_order_and_a_stop_at_once_end_the_loop() -> None:
    async def test() -> None:
        rig = Rig()
        rig.risk.hold()
        loop = asyncio.ensure_future(rig.scoring._score_loop())
        rig.pipeline.accept(rig.record(order_at_home(1)))
        await rig.risk.wait_for_calls(1)
        rig.pipeline.own(frozenset())
        loop.cancel()
        await asyncio.wait([loop], timeout=30)
        assert loop.cancelled()

    run(test())


async def _end(loops: Sequence["asyncio.Future[None]"]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
