"""A worker's parts as the product itself puts them together by its settings; only the servers are fakes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from creditstream.config.settings import Settings
from creditstream.kafka.fenced_publisher import StatusPublisher
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import create_topics
from creditstream.metrics.instruments import Instruments
from creditstream.order.pipeline import Pipeline
from creditstream.risk.guarded import GuardedRisk, make_gate
from creditstream.store.database import Database
from creditstream.worker import assembly
from creditstream.worker.app import CreditApp, create_app
from creditstream.worker.assembly import Services, build_pipeline, open_services
from creditstream.worker.loops import Loops
from devtools.fakes import FakeRisk, FakeStore
from tests.unit.pipeline_rig import ROUTES, FakePublisher, FakeTable


class Built(NamedTuple):
    """`pool`: the size of the pool that was asked for; `topics`: what Kafka was asked to create; `drained`: for s."""

    app: CreditApp
    services: Services
    pipeline: Pipeline
    pool: int
    topics: list[Any]
    drained: float


def _group() -> Any:
    return SimpleNamespace(lease_holds=lambda: True)


def built(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Built:
    """By `create_app`, `open_services`, `build_pipeline` and `create_topics`, with what connects replaced."""
    pools: list[int] = []

    async def open_database(dsn: object, *, size: int) -> Any:
        pools.append(size)
        return SimpleNamespace(require=_nothing, value=_nothing, close=_nothing)

    async def open_publisher(settings: Settings, *, may_send: Callable[[], bool] | None = None) -> Any:
        return SimpleNamespace(close=_nothing)

    monkeypatch.setattr(Database, "open", open_database)

    async def last_published(_settings: Settings) -> list[Any]:
        return []

    monkeypatch.setattr(Publisher, "open", open_publisher)
    monkeypatch.setattr(assembly, "last_published", last_published)
    app = create_app(settings)

    async def build() -> Built:
        async with AsyncExitStack() as opened:
            services = await open_services(settings, app.instruments, _group, opened)
            pipeline = build_pipeline(settings, 4, services, app.runtime._seen, app.instruments, lambda _: None)
        return Built(app, services, pipeline, pools[0], await _topics(settings, monkeypatch), await _drained(app))

    return asyncio.run(build())


async def _nothing(*_: object) -> None:
    return


async def _topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    created: list[Any] = []

    async def listed() -> list[str]:
        return [topic.name for topic in created]

    async def described(names: list[str]) -> list[Any]:
        return [{"topic": topic.name, "partitions": range(topic.num_partitions)} for topic in created]

    async def create(topics: list[Any]) -> Any:
        created.extend(topics)
        return SimpleNamespace(topic_errors=[])

    async def open_admin(_: Settings) -> Any:
        return SimpleNamespace(list_topics=listed, describe_topics=described, create_topics=create, close=_nothing)

    monkeypatch.setattr("creditstream.kafka.topics.open_admin", open_admin)
    await create_topics(settings)
    return created


async def _drained(app: CreditApp) -> float:
    """For how long orders in flight are waited for."""
    bounds: list[float] = []

    async def drain(bound: float) -> None:
        bounds.append(bound)

    app.runtime.pipeline = cast(Any, SimpleNamespace(drain=drain))
    app.runtime._loops = Loops([_nothing()], lambda: False)
    await app.runtime.drain()
    return bounds[0]


class Worker:
    """A pipeline by its settings over fakes, driven step by step. Its clocks are the machine's."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.store, self.risk, self.publisher, self.seen = FakeStore(), FakeRisk(), FakePublisher(), FakeTable()
        guarded = GuardedRisk(cast(Any, self.risk), make_gate(self.settings))
        statuses = StatusPublisher(self._open_producer, lambda: True)
        retries = cast(Any, SimpleNamespace())
        services = Services(cast(Any, self.store), cast(Any, self.publisher), guarded, statuses, retries)
        seen = cast(Any, self.seen)
        self.pipeline = build_pipeline(
            self.settings, ROUTES.partitions, services, seen, Instruments(), lambda flights: None
        )
        self.pipeline.own(frozenset(range(ROUTES.partitions)))

    async def _open_producer(self, _may_send: Callable[[], bool]) -> Any:
        return self.publisher

    def run(self) -> None:
        """Until nothing is left to do for what was accepted."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        scoring, settlement = self.pipeline._scoring, self.pipeline._settlement
        steps: list[Callable[[], Awaitable[None]]] = [settlement.commit_once, settlement.finish_once]
        await scoring.look_up_once()
        while not scoring._unscored.empty():
            await scoring.score_once()
        for step in (*steps, self.pipeline._outbox.run_once):
            await step()
