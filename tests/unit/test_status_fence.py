"""Status records leave only while the group's lease holds: the fence is shut unless somebody says that it is open."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from creditstream.errors import BrokerUnavailable, Fenced
from creditstream.kafka.fenced_publisher import Producer, StatusPublisher
from creditstream.order import changelog
from creditstream.order.ports import Outgoing
from tests.unit.pipeline_rig import ROUTES, FakePublisher, Rig, order_json, turns

RECORDS = {0: [Outgoing(b"id", b"{}")]}


class Told(Producer):
    """A producer that delivers while it may send."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self.is_abandoned = self.fails = False

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        if self.fails or not self._may_send():
            raise BrokerUnavailable(topic)
        return dict.fromkeys(records, 0)

    async def abandon(self) -> None:
        self.is_abandoned = True


class Group:
    """A lease that a test takes away, and the producers that were opened under it."""

    def __init__(self) -> None:
        self.holds = True
        self.opened: list[Told] = []
        self.statuses = StatusPublisher(self._open, lambda: self.holds)

    async def _open(self, may_send: Callable[[], bool]) -> Told:
        self.opened.append(Told(may_send))
        return self.opened[-1]

    async def publish(self) -> dict[int, int]:
        return await self.statuses.publish("order-status", RECORDS)


def test_without_a_lease_nothing_is_sent_and_no_producer_opened() -> None:
    async def play() -> None:
        group = Group()
        group.holds = False
        with pytest.raises(Fenced):
            await group.publish()
        assert not group.opened

    asyncio.run(play())


def test_a_lease_that_ended_once_does_not_open_its_producer_again() -> None:
    async def play() -> None:
        group = Group()
        assert await group.publish() == {0: 0}
        group.statuses.end_ownership()
        assert await group.publish() == {0: 0}
        await group.statuses.close()
        assert [producer.is_abandoned for producer in group.opened] == [True, True]

    asyncio.run(play())


def test_a_lease_that_ends_meanwhile_throws_the_producer_away_with_what_it_holds() -> None:
    async def play() -> None:
        group = Group()
        await group.publish()
        send = group.opened[0].publish

        async def late(topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
            group.holds = False
            return await send(topic, records)

        group.opened[0].publish = late  # type: ignore[method-assign]
        with pytest.raises(Fenced):
            await group.publish()
        group.holds = True
        assert await group.publish() == {0: 0}
        await group.statuses.close()
        assert len(group.opened) == 2
        assert group.opened[0].is_abandoned

    asyncio.run(play())


def test_ownership_that_ends_while_a_producer_is_opened_ends_that_producer() -> None:
    """To open one takes as long as Kafka takes to answer: what waits for it was asked for in the term before."""

    async def play() -> None:
        group = Group()
        may_go_on = asyncio.Event()
        whole = group.statuses._open_producer

        async def slow(may_send: Callable[[], bool]) -> Producer:
            await may_go_on.wait()
            return await whole(may_send)

        group.statuses._open_producer = slow
        late = [asyncio.create_task(group.publish()) for _ in range(2)]
        await turns()
        group.statuses.end_ownership()
        may_go_on.set()
        assert [type(error) for error in await asyncio.gather(*late, return_exceptions=True)] == [Fenced, Fenced]
        assert await group.publish() == {0: 0}
        assert len(group.opened) == 2, "what waited behind it opens none of its own"
        await group.statuses.close()
        assert all(producer.is_abandoned for producer in group.opened)

    asyncio.run(play())


def test_while_it_is_shut_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked ten times a second, for as long as Kafka is away."""
    monkeypatch.setattr(changelog, "_FENCED_WAIT", 0.0)

    class Shut(FakePublisher):
        async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
            if topic == ROUTES.order_status and self.failures:
                self.failures -= 1
                raise Fenced(topic)
            return await super().publish(topic, records)

    rig = Rig(publisher=Shut())
    rig.publisher.failures = 3
    rig.pipeline.accept(rig.record(order_json()))
    asyncio.run(rig.run())
    assert len(rig.acknowledged) == 1
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
