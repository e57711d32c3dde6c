"""Some of the alerts, by the faults that cost least (`make chaos ALERTS=1` plays all): each fires, and ends."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from devtools.programs import Worker
from devtools.stack.ports import free_port
from tests.chaos.alarms import alert_names, watching_prometheus
from tests.chaos.alerts import SETTINGS, chosen
from tests.chaos.drilling import RESOLVED_WITHIN, Drilled, at_work, play
from tests.chaos.drills import DRILLS, Drill, Scene
from tests.chaos.group import Group
from tests.chaos.steady import Steady
from tests.support.cloned import Template
from tests.support.servers import Servers

_WORKERS = (1, 2)
_RATE = 40.0
_CHEAP = ["CreditstreamBreakerOpen", "CreditstreamWorkerDown"]


class Few:
    """Two workers on the tests' own servers, each with its port in all its lives: a Stage for cheap drills."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._ports = {number: free_port() for number in _WORKERS}
        self._workers: dict[int, Worker] = {}

    @property
    def environ(self) -> Mapping[str, str]:
        return self._group.environ

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports.values()]

    async def set_risk(self, **control: object) -> None:
        await asyncio.to_thread(lambda: self._group.risk.control(**control))

    def running(self) -> list[int]:
        return sorted(self._workers)

    def kill(self, number: int) -> None:
        self._workers.pop(number).kill()

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            settings = {**SETTINGS, "web_port": self._ports[number]}
            self._workers[number] = self._group.worker(f"worker{number}", **settings)
        for number in numbers:
            await asyncio.to_thread(self._workers[number].wait_until_ready)


def test_every_alert_has_one_drill() -> None:
    drilled = [name for drill in DRILLS for name in (*drill.alerts, *drill.after)]
    assert sorted(drilled) == sorted(alert_names())


@pytest.fixture
def group(stack: Servers, template: Template, tmp_path: Path) -> Iterator[Group]:
    with Group.opened(stack, template, tmp_path) as group:
        yield group


def test_alerts_fire_on_their_faults_and_end_with_them(group: Group, tmp_path: Path) -> None:
    # What the backlog sets off has minutes of patience: only what fires while the fault lasts.
    drills = [drill._replace(after=()) for drill in chosen(_CHEAP)]
    drilled = asyncio.run(run_drills(group, drills, tmp_path / "prometheus"))
    print("\n".join(map(str, drilled.rows)))
    assert {row.alert for row in drilled.rows} >= {*_CHEAP, "CreditstreamNothingDecided", "CreditstreamLag"}
    assert drilled.clean, drilled


async def run_drills(group: Group, drills: list[Drill], folder: Path) -> Drilled:
    drilled, few = Drilled(), Few(group)
    await few.start(*_WORKERS)
    scene = Scene(few, Steady(group.environ["CREDITSTREAM_KAFKA_BROKERS"], group.topics.name("orders"), _RATE))
    with watching_prometheus(folder, few.urls) as server:
        async with at_work(server, scene, lambda: few.urls) as alarms:
            await alarms.until_quiet(alert_names(), RESOLVED_WITHIN)
            await play(drills, scene, alarms, drilled, print)
    return drilled
