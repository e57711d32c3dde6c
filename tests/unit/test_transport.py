"""Moments of a rebalance in which a worker came to a stand or crashed: each was seen in a run of make chaos."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka import consumer_thread as transport_thread
from creditstream.kafka import delivery
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.offsets import Progress, StartingPoint
from tests.unit.pipeline_rig import Rig, order_json


def test_the_leader_assigns_nothing_before_it_knows_every_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_thread, "_METADATA_RETRY", 0.0)
    known: dict[str, set[int]] = {"orders": {0, 1}}
    events: list[str] = []

    async def force_metadata_update() -> None:
        events.append("metadata")
        if events.count("metadata") == 2:
            known["order-status"] = {0, 1}

    async def assign(_response: object) -> dict[str, bytes]:
        events.append("assigned")
        return {"member": b"its share"}

    client = SimpleNamespace(
        set_topics=lambda topics: events.append(f"asked for {len(topics)}"),
        cluster=SimpleNamespace(partitions_for_topic=known.get),
        force_metadata_update=force_metadata_update,
    )
    thread = InOrderThread.__new__(InOrderThread)
    monkeypatch.setattr(InOrderThread, "log", SimpleNamespace(warning=lambda *_: None), raising=False)
    thread._consumer = cast(Any, SimpleNamespace(_client=client))
    coordinator = SimpleNamespace(_perform_assignment=assign)
    thread._assign_known_topics_only(coordinator)
    metadata = ConsumerProtocolMemberMetadata(0, ["orders", "order-status"], b"").encode()
    answer = asyncio.run(coordinator._perform_assignment(SimpleNamespace(members=[("member", None, metadata)])))
    assert events == ["asked for 2", "metadata", "metadata", "assigned"]
    assert answer == {"member": b"its share"}


def test_a_rebalance_between_two_deliveries_ends_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = TP("orders", 0), TP("orders", 1)
    delivered: list[TP] = []

    async def deliver(self: InOrderConsumer, tp: TP, epoch: int) -> None:
        delivered.append(tp)
        self._epoch += 1
        self._backlog.clear()

    async def fetch(self: InOrderConsumer) -> tuple[int, dict[TP, list[object]]]:
        return self._epoch, {first: [object()], second: [object()]}

    monkeypatch.setattr(InOrderConsumer, "_deliver", deliver)
    monkeypatch.setattr(InOrderConsumer, "_fetch", fetch)
    consumer = InOrderConsumer.__new__(InOrderConsumer)
    consumer._backlog, consumer._epoch, consumer.progress = {}, 1, cast(Any, {first: None})
    asyncio.run(consumer._drain_once())
    assert delivered == [first]


class _Thread:
    """Every partition starts at 0."""

    async def starting_points(self, sources: set[TP]) -> dict[TP, StartingPoint]:
        return dict.fromkeys(sources, StartingPoint(0, 0))


def _positioned(monkeypatch: pytest.MonkeyPatch, tps: set[TP], seek: Callable[..., Awaitable[None]]) -> InOrderConsumer:
    """A consumer of source partitions that can take positions."""
    monkeypatch.setattr(driver.Consumer, "seek_wait", seek)
    monkeypatch.setattr(InOrderConsumer, "is_source", lambda *_: True)
    monkeypatch.setattr(InOrderConsumer, "assignment", lambda *_: tps)
    consumer = InOrderConsumer.__new__(InOrderConsumer)
    consumer._backlog, consumer._epoch, consumer.progress = {}, 1, cast(Any, dict.fromkeys(tps))
    consumer._revoked_at, consumer._last_generation = 0.0, 0
    consumer._is_assigned = True
    consumer._reached, consumer._doubts = {}, 0
    consumer._fetching, consumer._room = asyncio.Lock(), asyncio.Event()
    consumer._thread = cast(Any, _Thread())
    consumer.log = cast(Any, logging.getLogger("test"))
    consumer._ownership = cast(Any, SimpleNamespace(own=lambda *_, **__: None))
    consumer.app = cast(Any, SimpleNamespace(consumer_generation_id=1))
    return consumer


def test_positions_taken_anew_between_two_deliveries_end_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a rebalance in between: Faust seeks once a recovery is over, when the round may have begun."""
    first, second = TP("orders", 0), TP("orders", 1)
    delivered: list[TP] = []

    async def deliver(self: InOrderConsumer, tp: TP, epoch: int) -> None:
        delivered.append(tp)
        await self._position(epoch)

    async def fetch(self: InOrderConsumer) -> tuple[int, dict[TP, list[object]]]:
        return self._epoch, {first: [object()], second: [object()]}

    async def seek(*_: object) -> None:
        return

    monkeypatch.setattr(InOrderConsumer, "_deliver", deliver)
    monkeypatch.setattr(InOrderConsumer, "_fetch", fetch)
    consumer = _positioned(monkeypatch, {first, second}, seek)
    asyncio.run(consumer._drain_once())
    assert delivered == [first]


@pytest.mark.parametrize(
    ("tps", "owned"), [(set(), frozenset()), ({TP("orders", 3), TP("orders", 1)}, frozenset({1, 3}))]
)
def test_who_has_no_source_partition_is_told_of_none(
    tps: set[TP], owned: frozenset[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None would mean that it is still open."""
    told: list[frozenset[int] | None] = []

    async def seek(*_: object) -> None:
        return

    consumer = _positioned(monkeypatch, tps, seek)
    consumer._ownership = cast(Any, SimpleNamespace(own=lambda partitions, **_: told.append(partitions)))
    asyncio.run(consumer._position(1))
    assert told == [owned]


def test_who_is_left_without_partitions_gives_its_orders_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for PostgreSQL when all partitions go to others, who ask the risk API. Faust asks for no positions."""

    async def seek(*_: object) -> None:
        return

    async def assigned(*_: object) -> None:
        return

    async def play() -> None:
        rig, value = Rig(), order_json()
        rig.pipeline.accept(rig.record(value, replayed=True))
        rig.pipeline.own(None)
        consumer = _positioned(monkeypatch, set(), seek)
        consumer._ownership = cast(Any, rig.pipeline)
        consumer._active_partitions, consumer._paused_partitions = set(), set()
        await consumer.on_partitions_assigned(set(), 2)
        await rig.scoring.look_up_once()
        await rig.scoring.score_once()
        assert not rig.risk.calls
        assert not rig.flights

    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", assigned)
    monkeypatch.setattr(InOrderConsumer, "should_stop", False)
    asyncio.run(play())


def test_what_was_fetched_before_positions_were_taken_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    tp = TP("orders", 0)

    async def seek(*_: object) -> None:
        return

    async def play() -> None:
        consumer = _positioned(monkeypatch, {tp}, seek)
        consumer._backlog = {tp: deque([object()])}
        await consumer._position(1)
        assert consumer._backlog == {}

    asyncio.run(play())


def test_what_is_fetched_behind_a_seek_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that waits while positions are taken belongs to the new ones: what it drops would not come again."""
    tp = TP("orders", 0)
    delivered: list[TP] = []

    async def deliver(self: InOrderConsumer, tp: TP, epoch: int) -> None:
        delivered.append(tp)

    async def getmany(self: object, active_partitions: set[TP], **_: float) -> dict[TP, list[object]]:
        return {tp: [object()]}

    monkeypatch.setattr(InOrderConsumer, "_deliver", deliver)
    monkeypatch.setattr(InOrderConsumer, "_getmany", getmany)
    monkeypatch.setattr(InOrderConsumer, "_get_active_partitions", lambda self: {tp})

    async def play() -> None:
        sought, go_on = asyncio.Event(), asyncio.Event()

        async def seek(*_: object) -> None:
            sought.set()
            await go_on.wait()

        consumer = _positioned(monkeypatch, {tp}, seek)
        position = asyncio.create_task(consumer._position(1))
        await sought.wait()
        round_ = asyncio.create_task(consumer._drain_once())
        await asyncio.sleep(0)  # the round's turn: it waits for the seek now
        go_on.set()
        await asyncio.gather(position, round_)

    asyncio.run(play())
    assert delivered == [tp]


def test_a_seek_back_does_not_undo_positions_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tp = TP("orders", 0)
    sought: list[dict[TP, int]] = []

    async def seek(_self: object, partitions: dict[TP, int]) -> None:
        sought.append(partitions)

    async def play() -> None:
        consumer = _positioned(monkeypatch, {tp}, seek)
        await consumer._position(1)
        old = consumer.progress[tp]
        await consumer._seek_back(tp, old, 7)
        await consumer._fetching.acquire()
        back = asyncio.create_task(consumer._seek_back(tp, old, 7))
        await asyncio.sleep(0)  # its turn: it waits for the lock now
        consumer.progress = {tp: Progress(3, replay_until=3)}
        consumer._fetching.release()
        await back

    asyncio.run(play())
    assert sought == [{tp: 0}, {tp: 0}], "once for the positions, once back; not again"


def test_an_offset_that_went_back_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in a run of make chaos: a broker that had just come back knew of no offset, and all was read again."""
    tp = TP("orders", 0)
    answers = [(0, 90), (0, 90), (70, 90)]

    async def seek(*_: object) -> None:
        return

    async def points(_sources: set[TP]) -> dict[TP, StartingPoint]:
        return {tp: StartingPoint(*answers.pop(0))}

    slept: list[float] = []

    async def at_once(seconds: float) -> None:
        slept.append(seconds)

    consumer = _positioned(monkeypatch, {tp}, seek)
    monkeypatch.setattr(consumer._thread, "starting_points", points)
    monkeypatch.setattr(consumer, "sleep", at_once)
    monkeypatch.setattr(InOrderConsumer, "should_stop", False)
    consumer._reached = {tp: 60}
    asyncio.run(consumer.perform_seek())
    assert consumer.progress[tp].expected == 70 and not answers
    assert slept == [delivery.RETRY] * 2, "Kafka has a pause before each"
    # Another log, made again meanwhile: it ends before.
    answers.append((0, 5))
    asyncio.run(consumer._position(consumer._epoch))
    assert consumer.progress[tp].expected == 0
    # It stays so: after some tries it is believed.
    consumer._reached = {tp: 60}
    answers.extend([(0, 90)] * 11)
    asyncio.run(consumer.perform_seek())
    assert consumer.progress[tp].expected == 0 and not answers


@pytest.mark.parametrize("ends", ["another rebalance", "the worker stops"])
def test_a_seek_that_is_overtaken_asks_no_more(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def seek(*_: object) -> None:
        return

    async def at_once(_seconds: float) -> None:
        return

    consumer = _positioned(monkeypatch, {TP("orders", 0)}, seek)

    async def fails(_sources: set[TP]) -> dict[TP, tuple[int, int]]:
        assert not asked, "it is asked again"
        asked.append(ends)
        if ends == "another rebalance":
            consumer._epoch += 1
        else:
            monkeypatch.setattr(InOrderConsumer, "should_stop", True)
        raise KafkaConnectionError

    monkeypatch.setattr(InOrderConsumer, "should_stop", False)
    monkeypatch.setattr(consumer._thread, "starting_points", fails)
    monkeypatch.setattr(consumer, "sleep", at_once)
    asyncio.run(consumer.perform_seek())
    assert asked == [ends]


def test_between_a_revocation_and_the_next_assignment_nothing_is_positioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the simulation: one rebalance followed another, and Faust said of the second that it was over."""
    tp = TP("orders", 0)
    sought: list[dict[TP, int]] = []

    async def seek(_self: object, partitions: dict[TP, int]) -> None:
        sought.append(partitions)

    async def play() -> None:
        consumer = _positioned(monkeypatch, {tp}, seek)
        monkeypatch.setattr(InOrderConsumer, "should_stop", False)
        consumer.progress, consumer._is_assigned = {}, False
        await consumer.perform_seek()
        assert not consumer.progress and not sought
        # One that had begun before, and waits for the end of a fetch.
        await consumer._fetching.acquire()
        position = asyncio.create_task(consumer._position(1))
        await asyncio.sleep(0)  # its turn: it waits for the lock now
        consumer._epoch += 1
        consumer._fetching.release()
        await position
        assert not consumer.progress and not sought

    asyncio.run(play())


def test_while_partitions_are_given_up_none_is_positioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the recovery before may seek while the pipeline drains: what it finds is to be given up."""
    tp = TP("orders", 0)

    async def seek(*_: object) -> None:
        raise AssertionError("sought")

    async def drain(self: InOrderConsumer, _revoked: set[TP]) -> None:
        await self.perform_seek()
        await self._position(self._epoch)

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", drain)
    monkeypatch.setattr(InOrderConsumer, "should_stop", False)
    consumer = _positioned(monkeypatch, {tp}, seek)
    progress = consumer.progress
    consumer.metrics = cast(Any, SimpleNamespace(rebalances=SimpleNamespace(add=lambda: None)))
    asyncio.run(consumer.on_partitions_revoked({tp}))
    assert progress and not consumer.progress


def test_what_is_assigned_is_not_fetched_before_faust_knows_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records may flow: the recovery before has come to its end between the two rebalances."""
    changelog, source = TP("seen-changelog", 0), TP("orders", 0)
    fetched: list[set[TP]] = []

    async def assigned(self: InOrderConsumer, tps: set[TP], _generation: int) -> None:
        await self._fetch()

    async def getmany(self: object, active_partitions: set[TP], **_: float) -> dict[TP, list[object]]:
        fetched.append(active_partitions)
        return {}

    async def seek(*_: object) -> None:
        return

    consumer = _positioned(monkeypatch, {changelog, source}, seek)
    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", assigned)
    monkeypatch.setattr(InOrderConsumer, "_getmany", getmany)
    monkeypatch.setattr(InOrderConsumer, "is_source", lambda _, tp: tp == source)
    monkeypatch.setattr(delivery, "_FETCH_WAIT", 0.0)
    consumer._backlog, consumer.progress = {changelog: deque([object()])}, {}
    consumer._active_partitions, consumer._paused_partitions = {changelog, source}, set()
    epoch = consumer._epoch
    asyncio.run(consumer.on_partitions_assigned({changelog, source}, 2))
    assert not fetched and not consumer._backlog and consumer._epoch > epoch


def test_sources_without_positions_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be read and thrown away for as long as nobody tells the committed offsets."""
    here, nowhere, changelog = TP("orders", 0), TP("orders", 1), TP("seen-changelog", 0)
    fetched: list[set[TP]] = []

    async def getmany(self: object, active_partitions: set[TP], **_: float) -> dict[TP, list[object]]:
        fetched.append(active_partitions)
        return {}

    async def seek(*_: object) -> None:
        return

    consumer = _positioned(monkeypatch, {here, nowhere}, seek)
    monkeypatch.setattr(InOrderConsumer, "_getmany", getmany)
    monkeypatch.setattr(InOrderConsumer, "is_source", lambda _, tp: tp != changelog)
    consumer._active_partitions, consumer.progress = {here, nowhere, changelog}, cast(Any, {here: None})
    asyncio.run(consumer._fetch())
    assert fetched == [{here}]


@pytest.mark.parametrize(
    ("is_assigned", "progress", "found"),
    [(True, {}, True), (True, {"orders": 1}, False), (False, {}, False)],
    ids=["assigned", "positioned", "revoked"],
)
def test_what_is_assigned_and_stands_nowhere(
    monkeypatch: pytest.MonkeyPatch, is_assigned: bool, progress: dict[str, int], found: bool
) -> None:
    async def seek(*_: object) -> None:
        return

    consumer = _positioned(monkeypatch, {TP("orders", 0)}, seek)
    consumer._is_assigned, consumer.progress = is_assigned, cast(Any, progress)
    assert consumer.unpositioned() == ({TP("orders", 0)} if found else set())


def test_a_partition_that_is_not_assigned_any_more_has_no_end_and_no_transaction() -> None:
    """The consumer's thread learns of it before the others do."""
    here, gone = TP("orders", 0), TP("orders", 1)
    state = SimpleNamespace(lso=3, highwater=5)
    assignment = SimpleNamespace(tps=frozenset([here]), state_value={here: state}.get)
    thread = InOrderThread.__new__(InOrderThread)
    known = SimpleNamespace(_subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)))
    thread._consumer = cast(Any, known)
    assert (thread.highwater(here), thread.open_transaction(here)) == (3, (3, 5))
    assert (thread.highwater(gone), thread.open_transaction(gone)) == (None, None)
    for unassigned in (None, SimpleNamespace(assignment=None)):
        known._subscription.subscription = unassigned
        assert (thread.highwater(here), thread.open_transaction(here)) == (None, None)
