"""A round of deliveries: what it drops, and for what it waits."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka import delivery
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.offsets import Progress, StartingPoint
from creditstream.kafka.positions import OffsetsWentBack
from creditstream.kafka.stream_queues import MOST_AT_ONCE, room_of
from creditstream.metrics.instruments import Instruments
from tests.unit.pipeline_rig import turns

_TP = TP("orders", 0)


class Round(InOrderConsumer):
    """A consumer of one source partition; `events`: what its rounds did, `meanwhile`: what happens during a fetch."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.assigned = {_TP}
        self._backlog, self._epoch, self.progress = {}, 1, {_TP: Progress(0)}
        self._room, self._fetching = asyncio.Event(), asyncio.Lock()
        self.flow_active = True
        self.app = cast(Any, SimpleNamespace())
        self.can_resume_flow = cast(Any, None)

    def is_source(self, tp: TP) -> bool:
        return tp.topic == "orders"

    def assignment(self) -> Any:
        return self.assigned

    def _get_active_partitions(self) -> Any:
        return self.assigned

    async def wait(self, *_: Any, **__: Any) -> Any:
        self.events.append("waited for the flow")

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        self.events.append("fetched")
        self.meanwhile()
        return {_TP: [object()]}

    async def _deliver(self, tp: TP, epoch: int) -> None:
        self.events.append("delivered")


def test_while_the_flow_is_stopped_nothing_is_fetched_and_what_was_is_dropped() -> None:
    async def scene() -> None:
        consumer = Round()
        consumer.flow_active, consumer._backlog = False, {_TP: deque([object()])}
        await consumer._drain_once()
        assert (consumer.events, consumer._backlog) == (["waited for the flow"], {})

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["epoch", "flow"])
def test_what_comes_of_a_fetch_that_was_overtaken_is_dropped(what: str) -> None:
    async def scene() -> None:
        consumer = Round()

        def happens() -> None:
            if what == "epoch":
                consumer._epoch += 1
            else:
                consumer.flow_active = False

        consumer.meanwhile = happens
        if what == "epoch":
            fetched = consumer._fetch
            consumer._fetch = lambda: _before(consumer, fetched)  # type: ignore[method-assign]
        await consumer._drain_once()
        assert (consumer.events, consumer._backlog) == (["fetched"], {})

    asyncio.run(scene())


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("end", [ConsumerStoppedError(), asyncio.CancelledError()])
def test_an_end_of_the_rounds_is_an_error_unless_the_worker_stops(end: BaseException, stops: bool) -> None:
    class Ending(Round):
        should_stop = False

        async def _drain_once(self) -> None:
            raise end

    async def scene() -> None:
        consumer = Ending()
        consumer.app = cast(Any, SimpleNamespace(should_stop=stops))
        with contextlib.nullcontext() if stops else pytest.raises(type(end)):
            await consumer._drain_messages(SimpleNamespace(should_stop=False))

    asyncio.run(scene())


async def _before(consumer: Round, fetch: Any) -> Any:
    """The fetch, with the epoch in which it began."""
    epoch = consumer._epoch
    _, records = await fetch()
    return epoch, records


def test_a_partition_whose_queue_is_full_is_not_asked_for_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_ROOM_POLL", 60.0)

    async def scene() -> None:
        consumer = Round()
        consumer._backlog = {_TP: deque([object()])}
        consumer._room.set()  # of a round before
        fetch = asyncio.create_task(consumer._fetch())
        await turns()
        assert not fetch.done()
        consumer.on_buffer_drop(_TP)
        assert await fetch == (1, {})
        assert consumer.events == []

    asyncio.run(scene())


class Queue:
    def __init__(self, held: int, maxsize: int = 100) -> None:
        self._held, self.maxsize = held, maxsize

    def qsize(self) -> int:
        return self._held


@pytest.mark.parametrize(
    ("held", "room"),
    [([0], 100), ([99], 1), ([100], 0), ([150], 0), ([30, 80], 20), ([], MOST_AT_ONCE)],
)
def test_the_fullest_queue_says_how_much_room_there_is(held: list[int], room: int) -> None:
    assert room_of([Queue(each) for each in held]) == room
    assert room_of([*map(Queue, held), Queue(5, maxsize=0)]) == room, "one without a bound has any"


def test_partitions_that_are_given_up_are_forgotten_once_they_are_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        consumer, owned = Round(), list[Any]()
        consumer.metrics, consumer._revoked_at = Instruments(), 0.0
        consumer._ownership = cast(Any, SimpleNamespace(own=owned.append))

        async def drained(*_: Any) -> None:
            assert consumer.progress or owned, "acknowledgements count until here"

        monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", drained)
        consumer._backlog = {_TP: deque([object()])}
        await consumer.on_partitions_revoked({_TP})
        assert (consumer.progress, consumer._backlog, consumer._epoch, owned) == ({}, {}, 2, [None])
        assert consumer.metrics.rebalances.read().values == {(): 1}
        assert consumer._revoked_at
        await consumer.on_partitions_revoked(set())
        assert consumer.metrics.rebalances.read().values == {(): 1}, "nothing was given up"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("start", "end", "doubted"),
    [(59, 90, True), (60, 90, False), (61, 90, False), (0, 60, True), (0, 59, False)],
)
def test_an_offset_that_went_back_is_doubted_unless_the_log_is_another(start: int, end: int, doubted: bool) -> None:
    async def scene() -> None:
        consumer = Round()
        consumer._reached, consumer._doubts = {_TP: 60}, 0
        consumer.log = cast(Any, logging.getLogger("test"))
        for _ in range(10):
            if doubted:
                with pytest.raises(OffsetsWentBack):
                    consumer._doubt({_TP: StartingPoint(start, end)})
        consumer._doubt({_TP: StartingPoint(start, end)})
        assert consumer._reached == {_TP: start}, "what was asked for ten times is believed"
        consumer._doubt({_TP: StartingPoint(start, end)})

    asyncio.run(scene())


def test_what_was_fetched_of_a_partition_that_was_given_up_since_is_dropped() -> None:
    async def scene() -> None:
        consumer = Round()
        consumer.app = cast(Any, SimpleNamespace(topics=SimpleNamespace(_tp_index={})))
        consumer._backlog[_TP] = deque([object()])
        consumer.progress.clear()
        await InOrderConsumer._deliver(consumer, _TP, 1)
        assert consumer._backlog == {}

    asyncio.run(scene())
