"""A fault for every alert: begun, held until Prometheus says so, mended as docs/how-to/runbook.md tells."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol

import psutil
import psycopg2

from tests.chaos.steady import Steady
from tests.support.database import ask

#: A worker that comes and goes; Prometheus does not know it.
_VISITOR = 9
_FLOOD = 120
_SPOILT = 0.3
_NEXT_MONTH = "SELECT to_char((now() AT TIME ZONE 'UTC') + interval '1 month', '\"orders_\"YYYY_MM')"


class Stage(Protocol):
    """What a cheap drill needs of the world: tests/chaos/rig.py has it, and more."""

    @property
    def environ(self) -> Mapping[str, str]: ...

    async def set_risk(self, **control: object) -> None: ...

    def running(self) -> list[int]: ...

    def kill(self, number: int) -> None: ...

    async def start(self, *numbers: int) -> None: ...


class Scene(NamedTuple):
    """`rig`: all of tests/chaos/rig.py for the dearer faults."""

    stage: Stage
    load: Steady
    rig: Any = None

    @property
    def dsn(self) -> str:
        return self.stage.environ["CREDITSTREAM_POSTGRES_DSN"]


Play = Callable[[Scene], AbstractAsyncContextManager[None]]


class Drill(NamedTuple):
    """`alerts` fire while the fault lasts, `after` when it is mended and the backlog comes."""

    fault: str
    play: Play
    alerts: tuple[str, ...]
    after: tuple[str, ...] = ()


@asynccontextmanager
async def _risk_fails(scene: Scene) -> AsyncIterator[None]:
    await scene.stage.set_risk(error_rate=1.0)
    yield
    await scene.stage.set_risk(error_rate=0.0)


@asynccontextmanager
async def _no_files(scene: Scene) -> AsyncIterator[None]:
    """JSON, and no score for anybody: every order is a letter until intake stops."""
    await scene.stage.set_risk(mode="no_file")
    yield
    await scene.stage.set_risk(mode="ok")


@asynccontextmanager
async def _worker_killed(scene: Scene) -> AsyncIterator[None]:
    number = max(scene.stage.running())
    scene.stage.kill(number)
    yield
    await scene.stage.start(number)


@asynccontextmanager
async def _all_killed(scene: Scene) -> AsyncIterator[None]:
    numbers = scene.stage.running()
    for number in numbers:
        scene.stage.kill(number)
    yield
    await scene.stage.start(*numbers)


@asynccontextmanager
async def _many_letters(scene: Scene) -> AsyncIterator[None]:
    scene.load.spoilt = _SPOILT
    yield
    scene.load.spoilt = 0.0


@asynccontextmanager
async def _flood(scene: Scene) -> AsyncIterator[None]:
    """Over by itself when the window of the limit is."""
    await scene.load.flood(_FLOOD)
    yield


@asynccontextmanager
async def _table_locked(scene: Scene) -> AsyncIterator[None]:
    with contextlib.closing(await asyncio.to_thread(psycopg2.connect, scene.dsn)) as holder:
        with holder.cursor() as cursor:
            await asyncio.to_thread(cursor.execute, "LOCK TABLE order_keys")
        yield


@asynccontextmanager
async def _postgres_refuses(scene: Scene) -> AsyncIterator[None]:
    await scene.rig.postgres.refuse()
    yield
    await scene.rig.postgres.heal()


def _frozen(service: str) -> Play:
    @asynccontextmanager
    async def play(scene: Scene) -> AsyncIterator[None]:
        processes: list[psutil.Process] = scene.rig.service(service).processes()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    return play


@asynccontextmanager
async def _restless(scene: Scene) -> AsyncIterator[None]:
    """One more worker, again and again."""

    async def come_and_go() -> None:
        while True:
            await scene.rig.start(_VISITOR)
            await scene.rig.stop(_VISITOR)

    visits = asyncio.create_task(come_and_go())
    yield
    visits.cancel()
    await asyncio.gather(visits, return_exceptions=True)
    if visitor := scene.rig.workers.pop(_VISITOR, None):
        await asyncio.to_thread(visitor.stop)


@asynccontextmanager
async def _month_dropped(scene: Scene) -> AsyncIterator[None]:
    [(table,)] = await asyncio.to_thread(ask, scene.dsn, _NEXT_MONTH)
    await asyncio.to_thread(ask, scene.dsn, f"DROP TABLE {table}")
    yield
    await asyncio.to_thread(ask, scene.dsn, "SELECT ensure_orders_partition(now() + interval '1 month')")


#: In this order: those that need nothing but workers and the risk API, then those that need a stack of their own.
DRILLS: tuple[Drill, ...] = (
    Drill(
        "the risk API fails",
        _risk_fails,
        ("CreditstreamBreakerOpen", "CreditstreamNothingDecided", "CreditstreamLag"),
        ("CreditstreamLateBurn1h", "CreditstreamLateBurn6h", "CreditstreamLateBurn3d"),
    ),
    Drill("the risk API has no file of anybody", _no_files, ("CreditstreamAnswersUnusable",)),
    Drill("a worker is killed", _worker_killed, ("CreditstreamWorkerDown",)),
    Drill("all workers are killed", _all_killed, ("CreditstreamMetricsAbsent",)),
    Drill("30 lines that are no orders for each 100 orders", _many_letters, ("CreditstreamDeadLetterShare",)),
    Drill("120 lines that are no orders at once", _flood, ("CreditstreamIntakeStopped",)),
    Drill("LOCK TABLE order_keys", _table_locked, ("CreditstreamPartitionStuck", "CreditstreamOffsetBlocked")),
    Drill("PostgreSQL refuses connections", _postgres_refuses, ("CreditstreamStoreRetries",)),
    Drill("the broker is frozen", _frozen("kafka"), ("CreditstreamCommitAge",)),
    Drill("one more worker comes and goes", _restless, ("CreditstreamRebalancing",)),
    Drill("the replica is frozen", _frozen("replica"), ("CreditstreamReplicaLag",)),
    Drill("Redis is frozen", _frozen("redis"), ("CreditstreamCacheAway",)),
    Drill("next month's table is dropped", _month_dropped, ("CreditstreamPartitionMissing",)),
)
