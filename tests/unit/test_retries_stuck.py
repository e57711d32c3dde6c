"""A stuck `orders-retry` is seen whatever waits there on purpose; waiting on purpose is not being stuck."""

import asyncio
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.offsets import Progress
from creditstream.kafka.watchdog import Standing
from creditstream.order.record import Turn
from creditstream.order.retry import RetryRule
from creditstream.worker.liveness import Liveness
from tests.unit.pipeline_rig import Rig, home_of, order_json, run, turns

_AFTER = 60.0
_HOURS = 3_600.0


class Scene:
    """A worker with one partition of `orders-retry`; what happens, happens because the test says so."""

    def __init__(self) -> None:
        self.rig, self.value = Rig(retry=RetryRule(30.0, 3, 86_400.0, _HOURS)), order_json()
        self.tp = TP("orders-retry", home_of(self.value))
        self.progress, self.unread, self.starts = Progress(0), 0, True
        group = SimpleNamespace(
            standings=self._standings, unpositioned=set, open_transactions=dict, lease_holds=lambda: True
        )
        self.liveness = Liveness(
            cast(Any, SimpleNamespace(group=group)), Settings(stuck_after=_AFTER), lambda: self.rig.time
        )

    def _standings(self) -> dict[TP, Standing]:
        progress = self.progress
        return {self.tp: progress.standing(progress.expected + self.unread)}

    def deliver(self, value: bytes, due_in: float = 0.0, *, taken: bool = True) -> None:
        """The partition's next record; not `taken`: the stream's agent has not come to it."""
        offset = self.progress.expected
        self.progress.admit(offset)
        turn = Turn(1, self.rig.now, self.rig.now + timedelta(seconds=due_in))
        headers = self.rig.record(value).waiting(turn)
        record = self.rig.record(value, topic=self.tp.topic, offset=offset, headers=headers)
        record.acknowledge = partial(self.progress.finish, offset)
        if taken:
            self.rig.accept_retry(record)

    def another(self) -> bytes:
        return next(value for value in iter(order_json, None) if home_of(value) == self.tp.partition)

    def pass_time(self, seconds: float) -> None:
        """In looks of five seconds, as the worker has them."""
        for _ in range(round(seconds / 5)):
            self.rig.advance(5)
            if self.starts:
                asyncio.run(self.rig.pipeline.start_due())
            asyncio.run(self.liveness.run_once(self.rig.pipeline))

    @property
    def stuck(self) -> bool:
        return self.liveness.stuck == [f"orders-retry[{self.tp.partition}]"]


@pytest.fixture
def scene() -> Scene:
    """With an order that waits for its time."""
    scene = Scene()
    scene.deliver(scene.value, _HOURS)
    return scene


def test_orders_that_wait_for_their_time_are_not_stuck(scene: Scene) -> None:
    for _ in range(5):
        scene.deliver(scene.another(), _HOURS / 2)
    scene.pass_time(5 * _AFTER)
    assert not scene.liveness.stuck
    assert scene.liveness.watchdog.blocking_age() == 0


def test_an_order_that_is_due_and_does_not_get_on_is_stuck(scene: Scene) -> None:
    scene.deliver(scene.another())
    scene.pass_time(_AFTER)
    assert not scene.liveness.stuck
    scene.pass_time(20)
    assert len(scene.rig.pipeline.flights) == 1
    assert scene.stuck
    run(scene.rig.run())
    scene.pass_time(5)
    assert not scene.liveness.stuck


def test_an_order_that_is_due_and_is_not_started_is_stuck(scene: Scene) -> None:
    scene.deliver(scene.another())
    scene.starts = False
    scene.pass_time(_AFTER + 20)
    assert scene.stuck
    scene.starts = True
    scene.pass_time(5)
    assert not scene.liveness.stuck


def test_a_partition_that_cannot_be_read_is_stuck_although_others_get_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the simulation: with each order that another partition started, it was given its time anew."""
    monkeypatch.setattr("creditstream.order.waiting_room._BACKOFF", 0)
    rig, scene.starts = scene.rig, False
    scene.deliver(scene.another())
    rig.retry_topic.silent = {scene.tp.partition}
    for number in range(20):
        value = next(value for value in iter(order_json, None) if home_of(value) != scene.tp.partition)
        headers = rig.record(value).waiting(Turn(1, rig.now, rig.now))
        rig.accept_retry(rig.record(value, topic=scene.tp.topic, offset=number, headers=headers))
        run(_a_moment(rig))
        scene.pass_time(5)
        assert len(rig.pipeline.flights) == number + 1, "the others get on"
    assert scene.stuck


async def _a_moment(rig: Rig) -> None:
    """Of the loop that starts orders: it does not end while one cannot be read."""
    task = asyncio.ensure_future(rig.pipeline.start_due())
    await turns(50)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_record_that_is_delivered_and_not_taken_is_stuck(scene: Scene) -> None:
    scene.deliver(scene.another(), taken=False)
    scene.pass_time(_AFTER + 20)
    assert scene.stuck


def test_a_record_that_is_not_read_is_stuck(scene: Scene) -> None:
    scene.unread = 1
    scene.pass_time(_AFTER + 20)
    assert scene.stuck


def test_a_record_that_is_not_read_is_stuck_whatever_is_held_from_before_its_log_was_cut(scene: Scene) -> None:
    scene.progress, scene.unread = scene.progress.after_cut(0), 1
    scene.pass_time(_AFTER + 20)
    assert scene.stuck


def test_a_queue_that_gets_on_is_not_stuck_however_long_each_waits_in_it(scene: Scene) -> None:
    for _ in range(30):
        scene.deliver(scene.another())
    scene.pass_time(5)
    for _ in range(29):
        scene.pass_time(_AFTER - 10)
        assert not scene.liveness.stuck
        scene.rig.flights.land(next(iter(scene.rig.pipeline.flights.values())))
    scene.pass_time(_AFTER + 20)
    assert scene.stuck, "the last one does not"


def test_a_room_that_is_full_rests(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creditstream.order.waiting_room._WAITING_MOST", 1)
    scene.unread = 1
    scene.pass_time(_AFTER + 20)
    assert not scene.liveness.stuck
