"""A worker that lost its partitions and goes on for a while: what it still commits, publishes and writes down."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from creditstream.errors import BrokerUnavailable, RiskRefused, RiskUnavailable
from creditstream.kafka.fenced_publisher import Producer, StatusPublisher
from creditstream.order import changelog
from creditstream.order.ports import Outgoing
from schemas.decision import RISK_UNAVAILABLE
from tests.unit.pipeline_rig import ROUTES, FakePublisher, Rig, home_of, id_of, order_json, run, turns

ALL = frozenset(range(ROUTES.partitions))


class Interrupted(FakePublisher):
    """Something happens once, when records are delivered to a topic and the answer is on its way."""

    def __init__(self, topic: str, happens: Callable[[], None]) -> None:
        super().__init__()
        self._topic, self._happens = topic, happens

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        last = await super().publish(topic, records)
        if topic == self._topic:
            self._topic = ""
            self._happens()
        return last


class Down(FakePublisher):
    """A producer that fails; in the pause that follows, something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        asyncio.get_running_loop().call_soon(self._happens)
        raise BrokerUnavailable(topic)

    async def abandon(self) -> None: ...


class Real(FakePublisher):
    async def abandon(self) -> None: ...


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "_BACKOFF", 0.0)
    monkeypatch.setattr(changelog, "_FENCED_WAIT", 0.0)


@pytest.mark.parametrize(
    ("answer", "reason"), [(RiskRefused("422"), "risk_refused"), (RiskUnavailable("down"), RISK_UNAVAILABLE)]
)
def test_a_zombies_waiting_does_not_follow_what_the_new_owner_published(answer: Exception, reason: str) -> None:
    """It froze when `waiting` was due, and wakes when the other worker is done: its commit is not fenced."""

    async def play() -> None:
        zombie = Rig()
        owner, value = Rig(store=zombie.store, publisher=zombie.publisher), order_json()
        asked = await _asking(zombie, value)
        owner.answer(value, answer)
        owner.pipeline.accept(owner.record(value, replayed=True))
        await owner.run()
        await zombie.settlement.commit_once()
        zombie.pipeline.own(None)
        zombie.pipeline.own(frozenset())
        await zombie.settlement.finish_once()
        await asyncio.gather(asked, return_exceptions=True)
        row, last = owner.store.rows[id_of(value)], owner.publisher.values("order-status")[-1]
        assert (row.reason, row.version) == (last["reason"], last["version"]) == (reason, 1)

    run(play())


async def _asking(rig: Rig, value: bytes) -> "asyncio.Task[None]":
    """An order whose answer does not come, until it is due as waiting."""
    rig.risk.hold()
    rig.pipeline.accept(rig.record(value))
    asked = asyncio.create_task(rig.scoring.score_once())
    await turns()
    rig.advance(2)
    return asked


def test_a_publish_that_failed_is_judged_again_before_it_is_repeated() -> None:
    """Ownership ends in the pause between two attempts: the second would go through a producer that knows nothing."""

    async def play() -> None:
        kafka, value = Real(), order_json()
        producers: list[Producer] = [Down(lambda: lose()), kafka]

        async def opened(_may_send: object) -> Producer:
            return producers.pop(0)

        statuses = StatusPublisher(opened, lambda: True)
        zombie = Rig(publisher=kafka, status_publisher=statuses)

        def lose() -> None:
            statuses.end_ownership()
            zombie.pipeline.own(None)

        asked = await _asking(zombie, value)
        await zombie.settlement.commit_once()
        owner = Rig(store=zombie.store, publisher=kafka)
        owner.pipeline.accept(owner.record(value, replayed=True))
        await owner.run()
        finishing = asyncio.create_task(zombie.settlement.finish_once())
        await turns(30)
        assert not finishing.done(), "what is ours is not known yet"
        zombie.pipeline.own(ALL - {home_of(value)})
        async with asyncio.timeout(10):
            await finishing
        assert [status["version"] for status in kafka.values("order-status")] == [2]
        assert len(producers) == 1, "nothing was left to publish"
        await asyncio.gather(asked, return_exceptions=True)

    run(play())


def test_a_publish_that_failed_is_repeated_while_the_order_is_ours() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    rig.publisher.failures = 3
    run(rig.run())
    assert [status["version"] for status in rig.publisher.values("order-status")] == [1]
    assert len(rig.acknowledged) == 1


def _move(rig: Rig, partitions: frozenset[int]) -> None:
    """A rebalance, after which it has those."""
    rig.pipeline.own(None)
    rig.pipeline.own(partitions)


@pytest.mark.parametrize("topic", [ROUTES.order_status, ROUTES.seen_changelog])
def test_what_is_delivered_after_the_partition_went_is_not_written_on_its_old_owners_disk(topic: str) -> None:
    """With its offset: whoever recovers from there would pass over what the new owner wrote before."""

    async def play() -> None:
        value = order_json()
        publisher = Interrupted(topic, lambda: _move(rig, ALL - {home_of(value)}))
        rig = Rig(publisher=publisher)
        rig.pipeline.accept(rig.record(value))
        await rig.run()
        assert not rig.seen.offsets and not rig.acknowledged
        assert rig.settlement.unpublished == 0

    run(play())


@pytest.mark.parametrize("topic", [ROUTES.order_status, ROUTES.seen_changelog])
def test_what_is_delivered_while_the_partition_left_and_came_back_is_delivered_again(topic: str) -> None:
    """Another term: its table may have been recovered in between, up to another offset."""

    async def play() -> None:
        value = order_json()
        publisher = Interrupted(topic, lambda: _move(rig, ALL))
        rig = Rig(publisher=publisher)
        rig.pipeline.accept(rig.record(value))
        await rig.run()
        marks = 2 if topic == ROUTES.seen_changelog else 1
        assert rig.seen.offsets == [marks] and len(publisher.topics[topic]) == 2
        assert len(rig.acknowledged) == 1

    run(play())


def test_what_is_delivered_when_the_lease_is_over_is_not_written() -> None:
    """A worker that was frozen and does not know it yet: another may have marked before it in the same changelog."""

    async def play() -> None:
        value = order_json()
        rig = Rig(publisher=Interrupted(ROUTES.seen_changelog, lambda: rig.end_lease()))
        rig.pipeline.accept(rig.record(value))
        await rig.scoring.score_once()
        await rig.settlement.commit_once()
        finishing = asyncio.create_task(rig.settlement.finish_once())
        await turns(30)
        assert not finishing.done() and not rig.seen.offsets
        rig.pipeline.own(None)
        rig.pipeline.own(frozenset())
        async with asyncio.timeout(10):
            await finishing
        assert not rig.seen.offsets and not rig.acknowledged

    run(play())


def test_an_order_that_was_given_up_does_not_take_its_successor_off_the_board() -> None:
    """The partition was away and is back: the same order is on its way again while its old flight ends."""

    async def play() -> None:
        value = order_json()

        def move() -> None:
            rig.pipeline.own(None)
            rig.pipeline.own(ALL, interrupted=True)
            rig.pipeline.accept(rig.record(value, offset=1, replayed=True))

        rig = Rig(publisher=Interrupted(ROUTES.seen_changelog, move))
        rig.pipeline.accept(rig.record(value))
        await rig.run(1)
        assert list(rig.pipeline.flights) == [id_of(value)]
        await rig.run()
        assert rig.acknowledged == [("orders", home_of(value), 1)]

    run(play())
