"""A world: models of all servers, workers, and a way to run them. What happens in it is decided by others."""

import asyncio
import logging
import random
from contextvars import Context
from pathlib import Path
from typing import Any, cast

import aiokafka.client

import creditstream.kafka.filling
import creditstream.store.orders
import creditstream.worker.app
import creditstream.worker.preflight
from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.topics import all_topics
from creditstream.simulation.risk_http import HttpProtocol
from creditstream.simulation.risk_simulator import Simulator
from creditstream.worker.loops import LoopEnded
from tests.simulation import postgres
from tests.simulation.bounds import Bounds
from tests.simulation.checks import Checks
from tests.simulation.clocks import BEGINNING, WORKER, now
from tests.simulation.dates import tell_virtual_dates
from tests.simulation.disk import NO_SPACE, replace_rocksdb
from tests.simulation.faults import Faults
from tests.simulation.kafka.broker import HOST, PORT, Broker
from tests.simulation.laid import lay
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.past import make_past
from tests.simulation.plan import Plan
from tests.simulation.producers import Producers
from tests.simulation.removed import Removed
from tests.simulation.streams import Pipe, joined
from tests.simulation.threads import without_threads
from tests.simulation.unforeseen import Unforeseen
from tests.simulation.worker import Life, Worker

RISK = ("risk", 8090)
#: Seconds until a supervisor starts a worker again that has ended by itself.
_SUPERVISOR = 1.0


class World:
    """Everything that one seed plays with."""

    group, prefix = "creditstream", ""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.chance = random.Random(plan.seed)
        random.seed(plan.seed)
        self._folder, self._settings = folder, plan.settings
        self.loop = VirtualLoop()
        self.broker = Broker(self.loop)
        self.network = Network(self.loop, self.chance, self.broker)
        self.postgres = postgres.Server(self.loop, self.chance)
        self.risk = Simulator(latency_ms=20.0, seed=plan.seed)
        self.partitions = plan.partitions
        self.loop.servers[RISK] = self._serve_risk
        self.workers: list[Worker] = []
        for _ in range(plan.workers):
            self.add_worker()
        self.past = make_past(plan.seed) if plan.has_past else []
        self.removed, self.bounds = Removed(self, self.past), Bounds(self)
        self.checks, self.faults = Checks(self), Faults(self)
        self.broker.on_append, self.broker.on_commit = self.checks.on_append, self.checks.on_commit
        self.postgres.on_write = self.checks.on_write
        self.faults.operators.dropping.on_drop = self.removed.on_drop
        #: The workers' machines have other work too: each stands still for moments.
        self.is_busy, self._begun = False, 0.0
        self.unforeseen = Unforeseen()
        self.producers = Producers(self, plan.seed)
        self._supervised: set[asyncio.Task[None]] = set()
        self._replace()

    @property
    def played(self) -> float:
        """Seconds since all workers were up for the first time."""
        return now.seconds - self._begun

    def topic(self, name: str) -> str:
        return self.prefix + name

    def now_ms(self) -> int:
        return int((BEGINNING + now.seconds) * 1000)

    def worker(self, number: int) -> Worker:
        return self.workers[number % len(self.workers)]

    def add_worker(self) -> Worker:
        worker = self._worker(len(self.workers), self._folder)
        self.workers.append(worker)
        return worker

    async def begin(self) -> None:
        """Every topic is there, and every worker at work."""
        for topic in all_topics(self.workers[0].settings):
            self.broker.create(self.topic(topic.name), self.partitions, topic.config)
        lay(self, self.past)
        for worker in self.workers:
            worker.start()
        while self.broker.groups[self.group].state != "stable":  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.1)
        self._begun = now.seconds

    def is_calm(self) -> bool:
        """Whether every worker is at work in the group's generation."""
        group = self.broker.groups[self.group]
        apps = [worker.life.app for worker in self.workers if worker.life is not None and worker.lives]
        return (
            group.state == "stable"
            and len(apps) == len(self.workers) == len(group.members)
            and all(app is not None and app.consumer_generation_id == group.generation for app in apps)
            and not any(app is None or app.rebalancing or cast(Any, app.tables).recovery.in_recovery for app in apps)
        )

    def heal(self) -> None:
        """From now on nothing breaks, and every worker is up."""
        self.broker.is_up = True
        for worker in self.workers:
            if worker.life is not None and worker.life.is_frozen:
                worker.life.thaw()
            worker.start_if_down()

    def _worker(self, number: int, folder: Path) -> Worker:
        own = folder / f"worker-{number}"
        own.mkdir(parents=True)
        settings = Settings(
            kafka_brokers=f"{HOST}:{PORT}",
            kafka_replication_factor=1,
            partitions=self.partitions,
            risk_url=f"http://{RISK[0]}:{RISK[1]}",
            data_dir=str(own),
            redis_url=type(Settings().redis_url)(""),
            **self._settings,
        )
        return Worker(self, number, own, settings)

    def _replace(self) -> None:
        """What the product reaches the outside through."""
        without_threads()
        client: Any = aiokafka.client
        client.create_conn = self.network.connect
        postgres.Database.server = self.postgres
        store: Any = creditstream.store.orders
        store.Database = postgres.Database
        preflight: Any = creditstream.worker.preflight
        preflight.pending = _nothing_is_pending
        tell_virtual_dates()
        self.bounds.watch()
        self.unforeseen.watch()
        app: Any = creditstream.worker.app
        app.end_within = self._end_within
        replace_rocksdb()
        filling: Any = creditstream.kafka.filling
        filling._SLICE = 5  # of a hundred marks, not of millions

    def _end_within(self, seconds: float, _exit_code: object) -> None:
        """In place of a thread that ends the process."""
        life: Any = WORKER.get()
        self.loop.call_later(seconds, life.end, context=Context())

    def _serve_risk(self, client: Any) -> Pipe:
        return joined(self.network, client, HttpProtocol(self.risk.handle))

    def cut(self, life: Life) -> None:
        """Its connections end with it."""
        mine = [connection for connection in self.network.connections if connection.life is life]
        self.network.forget(mine)

    def on_end(self, life: Life) -> None:
        """A worker's process has come to its end by itself."""
        self.bounds.end(life, "stop")
        expected = (StartError, LoopEnded) if life.has_strays else StartError
        is_of_the_disk = NO_SPACE in str(life.error) and life.worker.disk.was_full
        if life.error is not None and not isinstance(life.error, expected) and not is_of_the_disk:
            self.checks.complain(f"worker {life.worker.number} ended with {life.error!r}")
        supervisor = self.loop.create_task(self._start_again(life.worker), context=Context())
        self._supervised.add(supervisor)
        supervisor.add_done_callback(self._supervised.discard)

    async def _start_again(self, worker: Worker) -> None:
        await asyncio.sleep(_SUPERVISOR)
        worker.start_if_down()

    def run(self, main: Any) -> Any:
        """Returns what it returns."""
        asyncio.set_event_loop(self.loop)
        logging.disable(logging.CRITICAL)
        return self.loop.run_until_complete(main)


async def _nothing_is_pending(_dsn: str) -> list[str]:
    return []
