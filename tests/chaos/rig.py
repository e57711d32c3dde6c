"""What a run is made of: servers of its own, proxies before them, workers that come and go."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg2
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from creditstream.dev.programs import Worker
from creditstream.dev.stack import Ports, Stack, processes
from creditstream.dev.stack.kafka import Kafka
from creditstream.dev.stack.ports import HOST, free_port
from creditstream.dev.stack.product import prepare_product
from creditstream.dev.stack.service import Service, silent
from tests.chaos.monitor import Monitor
from tests.chaos.previous import Version
from tests.chaos.proxy import Proxy
from tests.chaos.rolling import Rolling

PARTITIONS = 8
MAX_IN_FLIGHT = 500
ATTEMPT_TIMEOUT = 1.0
RISK_LATENCY_MS = 50
STOPS_WITHIN = 30.0
_READY_WITHIN = 120.0
_KILLED_WITHIN = 10.0
_A_LIFETIME_MS = 10 * 365 * 86_400 * 1_000
#: Parked orders come back within the run, a dead worker's partitions move soon, and no order runs out of turns.
_SETTINGS = {
    "PARTITIONS": PARTITIONS,
    "MAX_IN_FLIGHT": MAX_IN_FLIGHT,
    "RISK_CONCURRENCY": 128,
    "RISK_DEADLINE": 3,
    "RISK_ATTEMPT_TIMEOUT": ATTEMPT_TIMEOUT,
    "RETRY_DELAY": 2,
    "RETRY_MAX_ATTEMPTS": 100_000,
    "DRAIN_TIMEOUT": 3,
    "START_TIMEOUT": 60,
}
Say = Callable[[str], None]


class Rig:
    """One run's world. `failures`: what must not happen to a worker, in words."""

    def __init__(self, root: Path, stack: Stack, previous: Version | None = None) -> None:
        self.root, self.stack, self.previous = root, stack, previous
        self.rolling = Rolling(())
        ports = stack.ports
        self.postgres, self.redis, self.risk = Proxy(ports.postgres), Proxy(ports.redis), Proxy(ports.risk)
        self.workers: dict[int, Worker] = {}
        self.frozen: set[int] = set()
        self.failures: list[str] = []
        self.monitor = Monitor(self.environ["CREDITSTREAM_KAFKA_BROKERS"], "creditstream", PARTITIONS)
        self._web_ports: dict[int, int] = {}

    @property
    def environ(self) -> dict[str, str]:
        """The way past the proxies."""
        return self.stack.environment() | {f"CREDITSTREAM_{name}": str(value) for name, value in _SETTINGS.items()}

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        return self.postgres, self.redis, self.risk

    def service(self, name: str) -> Service:
        return next(service for service in self.stack.services if service.name == name)

    def brokers(self) -> Sequence[Service]:
        return [service for service in self.stack.services if isinstance(service, Kafka)]

    async def set_risk(self, **control: object) -> None:
        await asyncio.to_thread(lambda: self.stack.set_risk(**control))

    # -- workers

    def _worker_environ(self, number: int) -> dict[str, str]:
        port = self._web_ports.setdefault(number, free_port())
        direct, proxied = self.environ, {"POSTGRES_DSN": self.postgres, "REDIS_URL": self.redis, "RISK_URL": self.risk}
        for name, proxy in proxied.items():
            variable = f"CREDITSTREAM_{name}"
            direct[variable] = direct[variable].replace(f"{HOST}:{proxy.target}", f"{HOST}:{proxy.port}")
        environ = direct | {"CREDITSTREAM_DATA_DIR": str(self.data(number)), "CREDITSTREAM_WEB_PORT": str(port)}
        return self.previous.environ(environ) if self.previous and number in self.rolling.old else environ

    def data(self, number: int) -> Path:
        return self.root / f"data-{number}"

    async def start(self, *numbers: int) -> None:
        """Start workers and wait until they are ready."""
        for number in numbers:
            self.workers[number] = Worker(self._worker_environ(number), self.root / "logs", f"worker-{number}")
        for number in numbers:
            worker = self.workers.get(number)
            if worker is None:
                continue
            try:
                await asyncio.to_thread(worker.wait_until_ready, _READY_WITHIN)
            except AssertionError as error:
                self.failures.append(f"worker {number} not ready: {str(error).splitlines()[0]}")

    def running(self) -> list[int]:
        """Workers that are neither frozen nor ended."""
        return [n for n, worker in self.workers.items() if n not in self.frozen and worker.exit_code is None]

    def pick(self, share: float) -> int:
        numbers = sorted(self.running())
        return numbers[min(int(share * len(numbers)), len(numbers) - 1)]

    def kill(self, number: int) -> None:
        self.workers.pop(number).kill()

    def freeze(self, number: int) -> None:
        self.frozen.add(number)
        self.workers[number].send(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        self.frozen.discard(number)
        self.workers[number].send(signal.SIGCONT)

    async def stop(self, number: int) -> None:
        """SIGTERM; it must end well, and in time whatever happens around it."""
        worker, started = self.workers.pop(number), time.monotonic()
        try:
            code = await asyncio.to_thread(worker.stop, STOPS_WITHIN)
        except AssertionError:
            self.failures.append(f"worker {number} runs {STOPS_WITHIN:.0f} s after SIGTERM")
            worker.discard()
        else:
            if code:
                self.failures.append(
                    f"worker {number} ended with {code} {time.monotonic() - started:.0f} s after SIGTERM"
                )

    async def watch_workers(self) -> None:
        """A worker that ends by itself is a fault of its own; another takes its place, so that the run goes on."""
        while True:
            for number, worker in list(self.workers.items()):
                if worker.exit_code is not None:
                    self.failures.append(f"worker {number} exited by itself with {worker.exit_code}")
                    del self.workers[number]
                    await self.start(number)
            await asyncio.sleep(0.5)

    # -- the end

    async def heal(self) -> None:
        for number in list(self.frozen):
            self.thaw(number)
        for proxy in self.proxies:
            await proxy.heal()
        await self.set_risk(mode="ok", error_rate=0.0, latency_ms=RISK_LATENCY_MS)

    def undecided(self) -> int:
        """Orders under review."""
        connection = psycopg2.connect(self.environ["CREDITSTREAM_POSTGRES_DSN"], connect_timeout=5)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM orders WHERE status = 'under_review'")
            [(count,)] = cursor.fetchall()
        return int(count)


@asynccontextmanager
async def open_rig(
    root: Path, cache: Path, *, workers: int, brokers: int, say: Say, previous: Version | None = None
) -> AsyncIterator[Rig]:
    """Everything up and ready, of the `previous` version if there is one.

    At the end all is stopped; the data stay for a look until the next run.
    """
    _clear(root)
    more = [(ports.kafka, ports.kafka_controller) for ports in (Ports.free() for _ in range(brokers - 1))]
    stack = Stack(root, Ports.free(), cache=cache, more_kafka=more)
    rig = Rig(root, stack, previous)
    try:
        await asyncio.to_thread(stack.up, lambda name, text, last: say(f"{name:<10} {text}") if last else None)
        await _create_status_topic(rig.environ)
        prepare = previous.prepare if previous else prepare_product
        say(f"product    {await asyncio.to_thread(prepare, rig.environ)}")
        for proxy in rig.proxies:
            await proxy.open()
        await rig.set_risk(latency_ms=RISK_LATENCY_MS, rescore=True)
        if previous:
            rig.rolling = Rolling(range(1, workers + 1))
        await rig.start(*range(1, workers + 1))
        say(f"workers    {len(rig.running())} ready")
        yield rig
    finally:
        for worker in list(rig.workers.values()):
            worker.discard()
        for proxy in rig.proxies:
            await proxy.close()
        for broker in rig.brokers():
            await asyncio.to_thread(broker.stop, signal.SIGKILL)  # the last of a cluster would wait for the others
        await asyncio.to_thread(stack.down)


def _clear(root: Path) -> None:
    """Whatever a killed run has left in `root`: servers, workers (known by the folder they work in), data."""
    nodes = ((1, 2), (3, 4))  # a server is found by its folder; its port does not matter
    left = Stack(root, Ports(), more_kafka=nodes)
    for service in left.services:
        service.stop(signal.SIGKILL)
    processes.end(processes.owned(root, sys.executable), signal.SIGKILL, _KILLED_WITHIN)
    shutil.rmtree(root, ignore_errors=True)


async def _create_status_topic(environ: dict[str, str]) -> None:
    """As the product does, and compaction waits for longer than any run: the verifier reads every record ever."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environ["CREDITSTREAM_KAFKA_BROKERS"])
    await admin.start()
    configs = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_A_LIFETIME_MS)}
    copies = int(environ["CREDITSTREAM_KAFKA_REPLICATION_FACTOR"])
    try:
        answer = await admin.create_topics([NewTopic("order-status", PARTITIONS, copies, topic_configs=configs)])
        if any(code for _, code, *_ in answer.topic_errors):
            raise RuntimeError(f"order-status is not created: {answer}")
    finally:
        await admin.close()


async def restart(service: Service, how: signal.Signals | None, away: float) -> None:
    """End a server by `how` (None: as it likes to be ended), start it again `away` seconds later."""
    await asyncio.to_thread(service.stop, how)
    await asyncio.sleep(away)
    await asyncio.to_thread(service.begin, silent)
    await asyncio.to_thread(service.await_ready, silent)
