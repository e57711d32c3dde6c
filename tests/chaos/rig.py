"""What a run is made of: servers of its own, proxies before them, workers that come and go."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import psycopg2

from creditstream.simulation.mix import Line
from devtools.programs import Worker
from devtools.stack import Stack
from devtools.stack.kafka import Kafka
from devtools.stack.ports import HOST, free_port
from devtools.stack.service import Service, silent
from tests.chaos.books import StatusBook
from tests.chaos.evidence import NO_USABLE_ANSWER, Operation, Purpose
from tests.chaos.history import History
from tests.chaos.monitor import Monitor
from tests.chaos.previous import Version
from tests.chaos.proxy import Proxy
from tests.chaos.rolling import Rolling
from tests.support.database import ask

MAX_IN_FLIGHT = 500
ATTEMPT_TIMEOUT = 1.0
RISK_LATENCY_MS = 50
STOPS_WITHIN = 30.0
_READY_WITHIN = 120.0
#: Characters of a worker's log that say why it ended.
_END_OF_LOG = 4_000
#: Parked orders come back within the run, a dead worker's partitions move soon, and no order runs out of turns.
_SETTINGS = {
    "MAX_IN_FLIGHT": MAX_IN_FLIGHT,
    "RISK_CONCURRENCY": 128,
    "RISK_DEADLINE": 3,
    "RISK_ATTEMPT_TIMEOUT": ATTEMPT_TIMEOUT,
    "RETRY_DELAY": 2,
    "RETRY_MAX_ATTEMPTS": 100_000,
    "DRAIN_TIMEOUT": 3,
    "START_TIMEOUT": 60,
}


class Rig:
    """One run's world. `failures`: what must not happen to a worker or a command, in words.

    `settings`: of all workers, beside `_SETTINGS`. `staff` is held by whoever ends or starts workers.
    """

    def __init__(self, root: Path, stack: Stack, partitions: int, settings: Mapping[str, object]) -> None:
        self.root, self.stack = root, stack
        self._settings = {**_SETTINGS, "PARTITIONS": partitions, **settings}
        ports = stack.ports
        self.postgres, self.redis, self.risk = Proxy(ports.postgres), Proxy(ports.redis), Proxy(ports.risk)
        self.workers: dict[int, Worker] = {}
        self.frozen: set[int] = set()
        #: The version that some workers run, if there are two.
        self.previous: Version | None = None
        self.rolling = Rolling(())
        self.failures: list[str] = []
        brokers = self.environ["CREDITSTREAM_KAFKA_BROKERS"]
        self.monitor = Monitor(brokers, "creditstream", partitions)
        self._web_ports: dict[int, int] = {}
        self.staff = asyncio.Lock()
        self.pauses: list[float] = []
        # What operators do, and what they took away with it.
        self.operations: list[Operation] = []
        self.purpose = Purpose()
        self.status_book = StatusBook(brokers)
        self.history: History | None = None
        #: Calibration: this fault is put into every command.
        self.mutation = ""
        self.send: Callable[[list[Line]], Awaitable[None]]

    @property
    def environ(self) -> dict[str, str]:
        """The way past the proxies."""
        return self.stack.environment() | {f"CREDITSTREAM_{name}": str(value) for name, value in self._settings.items()}

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        return self.postgres, self.redis, self.risk

    def service(self, name: str) -> Service:
        return next(service for service in self.stack.services if service.name == name)

    def brokers(self) -> Sequence[Service]:
        return [service for service in self.stack.services if isinstance(service, Kafka)]

    async def set_risk(self, **control: object) -> None:
        await asyncio.to_thread(lambda: self.stack.set_risk(**control))

    @property
    def operator_environ(self) -> dict[str, str]:
        """Of the documented commands: over the network's faults, as a worker."""
        return self._worker_environ(0)

    # -- workers

    def url(self, number: int) -> str:
        """Of a worker's web server; the same in all its lives."""
        return f"http://{HOST}:{self._web_ports.setdefault(number, free_port())}"

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
                self.failures.append(f"worker {number} not ready: {error}")

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
                    end = worker.log()[-_END_OF_LOG:]
                    self.failures.append(f"worker {number} exited by itself with {worker.exit_code}: {end}")
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

    async def execute(self, statement: str, *parameters: object) -> None:
        """Past the proxies, as long as it takes for PostgreSQL to come back."""
        while True:
            with contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError):
                await asyncio.to_thread(ask, self.environ["CREDITSTREAM_POSTGRES_DSN"], statement, parameters)
                return
            await asyncio.sleep(0.5)

    def undecided(self) -> int:
        """Orders under review, but for those that wait for a person."""
        question = "SELECT count(*) FROM orders WHERE status = 'under_review' AND reason <> %s"
        [(count,)] = ask(self.environ["CREDITSTREAM_POSTGRES_DSN"], question, (NO_USABLE_ANSWER,))
        return int(count)


async def restart(service: Service, how: signal.Signals | None, away: float) -> None:
    """End a server by `how` (None: as it likes to be ended), start it again `away` seconds later."""
    await asyncio.to_thread(service.stop, how)
    await asyncio.sleep(away)
    await asyncio.to_thread(service.begin, silent)
    await asyncio.to_thread(service.await_ready, silent)
