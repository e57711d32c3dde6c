"""Whether a worker gets on: what is stuck, what hangs, and when the group is silent."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

import creditstream.worker.liveness
from creditstream.config.settings import Settings
from creditstream.kafka.watchdog import Standing
from creditstream.worker.liveness import Liveness
from tests.unit.pipeline_rig import Rig

_AFTER = 60.0
_AT_REST, _BEHIND = {TP("orders", 1): Standing(9, 9)}, {TP("orders", 0): Standing(4, 9)}


class Scene:
    """A worker whose group, orders and Kafka are what the test says; time passes when it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.kafka_answers, self.lease_holds = 0.0, True, True
        self.standings: dict[TP, Standing] = {}
        self.transactions: dict[TP, Standing] = {}
        self.unpositioned: set[TP] = set()
        self.note, self.problem = "", ""
        self.held_up: set[tuple[str, int]] = set()
        app = cast(Any, SimpleNamespace(group=self._group()))
        self.liveness = Liveness(app, Settings(stuck_after=_AFTER), lambda: self.now)
        monkeypatch.setattr(creditstream.worker.liveness, "cluster_id", self._ask)

    def _group(self) -> SimpleNamespace:
        return SimpleNamespace(
            standings=lambda: self.standings,
            unpositioned=lambda: self.unpositioned,
            open_transactions=lambda: self.transactions,
            lease_holds=lambda: self.lease_holds,
        )

    async def _ask(self, _settings: Settings) -> str:
        if not self.kafka_answers:
            raise ConnectionError
        return "cluster"

    def pass_time(self, seconds: float) -> None:
        """In looks of five seconds, as the worker has them."""
        brakes = SimpleNamespace(
            notes=lambda: [self.note] if self.note else [], problems=lambda: [self.problem] if self.problem else []
        )
        held_up = SimpleNamespace(partitions=lambda: frozenset(self.held_up))
        orders = SimpleNamespace(retries=Rig().pipeline.retries, brakes=brakes, held_up=held_up)
        for _ in range(round(seconds / 5)):
            self.now += 5
            asyncio.run(self.liveness.run_once(cast(Any, orders)))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_partition_with_work_that_does_not_get_on_is_stuck(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.standings = _BEHIND | _AT_REST
    scene.pass_time(_AFTER)
    assert not scene.liveness.stuck
    scene.pass_time(20)
    assert scene.liveness.stuck == ["orders[0]"]
    assert caplog.text.count("no progress for 60 s although there is work: orders[0]") == 1
    scene.standings = {TP("orders", 0): Standing(5, 9)}
    scene.pass_time(5)
    assert not scene.liveness.stuck


def test_a_partition_that_is_assigned_and_stands_nowhere_for_long_is_stuck(scene: Scene) -> None:
    scene.unpositioned = {TP("orders", 3), TP("orders-retry", 3)}
    scene.pass_time(_AFTER)
    assert not scene.liveness.stuck
    scene.pass_time(20)
    assert scene.liveness.stuck == ["orders-retry[3]", "orders[3]"]
    scene.unpositioned = set()
    scene.pass_time(5)
    assert not scene.liveness.stuck


@pytest.mark.parametrize("why", ["note", "problem"])
def test_nothing_is_stuck_while_intake_is_paused_on_purpose(scene: Scene, why: str) -> None:
    scene.standings = _BEHIND
    setattr(scene, why, "the risk API fails")
    scene.pass_time(3 * _AFTER)
    assert not scene.liveness.stuck


def test_a_transaction_that_is_left_open_is_named_and_no_reason_to_restart(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.transactions = {TP("orders", 2): Standing(7, 9)}
    scene.pass_time(2 * _AFTER)
    [hanging] = scene.liveness.hanging
    assert hanging.startswith("orders[2]: a transaction") and "offset 7 on" in hanging
    assert caplog.text.count("no progress") == 1
    assert not scene.liveness.stuck


def test_a_group_that_is_silent_although_kafka_answers_is_stuck(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.pass_time(_AFTER)
    assert not caplog.records, "nothing is wrong"
    scene.lease_holds = False
    scene.pass_time(2 * _AFTER)
    assert scene.liveness.stuck == ["all of the group creditstream"]
    assert caplog.text.count("no word from the consumer group") == 1
    scene.lease_holds = True
    scene.pass_time(5)
    assert not scene.liveness.stuck


def test_a_group_is_excused_while_nobody_hears_of_kafka(scene: Scene) -> None:
    scene.lease_holds = scene.kafka_answers = False
    scene.pass_time(3 * _AFTER)
    assert not scene.liveness.stuck


def test_a_partition_whose_order_waits_for_postgresql_is_not_stuck_and_blocks_all_the_same(scene: Scene) -> None:
    other = {TP("orders", 2): Standing(1, 2)}
    scene.standings, scene.held_up = _BEHIND | other, {("orders", 0)}
    scene.pass_time(2 * _AFTER)
    assert scene.liveness.stuck == ["orders[2]"]
    assert scene.liveness.watchdog.blocking_age() >= _AFTER, "the metric tells of it"
