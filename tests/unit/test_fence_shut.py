"""The fence from the lease to the socket: a batch that was held back never leaves, whatever the lease does later."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, Fenced
from creditstream.kafka import publisher as module
from creditstream.kafka.lease import SHARE_OF_SESSION, Lease
from creditstream.kafka.publisher import Publisher
from creditstream.metrics.instruments import Instruments
from creditstream.store.orders import PostgresStore
from creditstream.worker import assembly
from creditstream.worker.app import create_app
from creditstream.worker.assembly import build_pipeline, open_services
from tests.unit.pipeline_rig import FakePublisher, FakeTable
from tests.unit.test_status_fence import RECORDS, Group

_NODE = 7


def test_a_gate_that_was_found_shut_stays_shut_when_the_lease_holds_again() -> None:
    async def play() -> None:
        group = Group()
        await group.publish()
        may_send = group.opened[0]._may_send
        group.holds = False
        assert not may_send()
        group.holds = True
        assert not may_send()
        await group.statuses.close()

    asyncio.run(play())


def test_the_producer_of_a_generation_that_ended_sends_nothing_more() -> None:
    async def play() -> None:
        group = Group()
        await group.publish()
        group.statuses.end_ownership()
        assert not group.opened[0]._may_send(), "the lease holds, and this is no longer its producer"
        await group.statuses.close()

    asyncio.run(play())


def test_a_broker_that_is_away_while_the_lease_holds_is_no_fence() -> None:
    """Tried again by another producer: the numbering of one that failed has a gap, which the broker never takes."""

    async def play() -> None:
        group = Group()
        await group.publish()
        [first] = group.opened
        first.fails = True
        with pytest.raises(BrokerUnavailable):
            await group.publish()
        await group.publish()
        await asyncio.sleep(0)  # the turn in which what is thrown away is closed
        assert [each.is_abandoned for each in group.opened] == [True, False]
        await group.statuses.close()

    asyncio.run(play())


class Producer:
    """What of aiokafka's the guard and `abandon` touch; `events`: what happened to it."""

    def __init__(self, **_: object) -> None:
        self.events: list[str] = []
        self._closed = False
        self._sender = SimpleNamespace(
            _in_flight={_NODE},
            _muted_partitions={"p-0", "p-1"},
            _send_produce_req=self._note("sent"),
            close=self._note("sender closed"),
        )
        self._message_accumulator = SimpleNamespace(fail_all=lambda error: self.events.append("failed all"))
        self.client = SimpleNamespace(close=self._note("client closed"))
        self.start, self.stop = self._note("started"), self._note("stopped, all delivered")

    def _note(self, event: str) -> Callable[..., Awaitable[None]]:
        async def noted(*_: object) -> None:
            self.events.append(event)

        return noted


class Batch:
    def __init__(self) -> None:
        self.error: BaseException | None = None

    def failure(self, exception: BaseException) -> None:
        self.error = exception


async def opened(monkeypatch: pytest.MonkeyPatch, may_send: Callable[[], bool] | None) -> tuple[Publisher, Producer]:
    monkeypatch.setattr(module, "AIOKafkaProducer", Producer)
    publisher = await Publisher.open(Settings(), may_send=may_send)
    return publisher, cast(Any, publisher._producer)


@pytest.mark.parametrize(("may_send", "is_sent"), [(None, True), (lambda: True, True), (lambda: False, False)])
def test_a_batch_leaves_or_fails_and_its_partition_is_free_again(
    may_send: Callable[[], bool] | None, is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        _, producer = await opened(monkeypatch, may_send)
        batch = Batch()
        await producer._sender._send_produce_req(_NODE, {"p-0": batch})
        assert ("sent" in producer.events) == is_sent
        if not is_sent:
            assert isinstance(batch.error, KafkaError), "whoever waits for its delivery is told"
            assert producer._sender._in_flight == set()
            assert producer._sender._muted_partitions == {"p-1"}

    asyncio.run(play())


def test_a_producer_that_is_abandoned_delivers_nothing_that_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        publisher, producer = await opened(monkeypatch, lambda: True)
        await publisher.abandon()
        assert producer.events[1:] == ["sender closed", "failed all", "client closed"]
        assert producer._closed, "aiokafka would complain about a producer that nobody closed"

    asyncio.run(play())


class Opened(FakePublisher):
    """A producer that keeps what it was opened with."""

    def __init__(self, may_send: Callable[[], bool] | None) -> None:
        super().__init__()
        self.may_send = may_send

    async def close(self) -> None: ...

    async def abandon(self) -> None: ...

    def expect(self, _marks: object) -> None: ...


async def _nothing_published(_settings: Settings) -> list[Any]:
    return []


def test_a_worker_publishes_its_statuses_behind_its_own_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the product's own assembly: the parts above are of no use unless they are put together."""
    lease, producers = [True], list[Opened]()
    group: Any = SimpleNamespace(lease_holds=lambda: lease[0])

    async def open_publisher(settings: Settings, *, may_send: Callable[[], bool] | None = None) -> Opened:
        producers.append(Opened(may_send))
        return producers[-1]

    async def open_store(settings: Settings) -> Any:
        return Opened(None)

    monkeypatch.setattr(Publisher, "open", open_publisher)
    monkeypatch.setattr(PostgresStore, "open", open_store)
    monkeypatch.setattr(assembly, "last_published", _nothing_published)

    async def play() -> None:
        async with AsyncExitStack() as stack:
            settings, metrics = Settings(), Instruments()
            services = await open_services(settings, metrics, lambda: group, stack)
            seen = cast(Any, FakeTable())
            pipeline = build_pipeline(settings, 4, services, seen, metrics, lambda flights: None)
            finisher = pipeline._settlement._finisher
            statuses = finisher._statuses._publisher
            assert (statuses, finisher._seen._publisher) == (services.statuses, services.publisher)
            await statuses.publish("order-status", RECORDS)
            plain, guarded = producers
            assert plain.may_send is None and guarded.may_send and guarded.may_send()
            lease[0] = False
            assert not guarded.may_send()
            with pytest.raises(Fenced):
                await statuses.publish("order-status", RECORDS)

    asyncio.run(play())


def test_when_partitions_are_given_up_the_worker_ends_the_generations_producer() -> None:
    runtime, events = create_app(Settings()).runtime, list[str]()
    runtime.statuses = cast(Any, SimpleNamespace(end_ownership=lambda: events.append("producer ended")))

    def own(partitions: frozenset[int] | None, **_: object) -> None:
        events.append(f"own {partitions}")

    runtime.pipeline = cast(Any, SimpleNamespace(own=own))
    runtime.inherited = cast(Any, SimpleNamespace(own=lambda given: events.append(f"ask for {given}")))
    runtime.filling = cast(Any, SimpleNamespace(own=lambda given: events.append(f"fill {given}")))
    runtime.partitions = 4
    runtime.own(None)
    runtime.own(frozenset({1}))
    taken = "frozenset({1})"
    assert events == ["producer ended", "fill None", "own None", f"ask for {taken}", f"fill {taken}", f"own {taken}"]


def test_a_lease_ends_before_the_session_and_an_answer_that_comes_late_shortens_nothing() -> None:
    assert SHARE_OF_SESSION < 1.0, "the broker gives partitions away when the session ends"
    lease = Lease(10.0)
    assert not lease.holds(0.0), "nobody was heard yet"
    lease.renew(100.0)
    lease.renew(90.0)
    assert lease.holds(100.0 + 10.0 * SHARE_OF_SESSION - 0.001)
    assert not lease.holds(100.0 + 10.0 * SHARE_OF_SESSION)


def test_a_lease_that_was_ended_is_renewed_by_no_answer() -> None:
    lease = Lease(10.0)
    lease.renew(100.0)
    lease.end()
    lease.renew(101.0)
    assert not lease.holds(101.0)
