"""One group of workers with topics, a database and a risk API of its own, for scenarios that run side by side."""

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from creditstream.config.load import load_settings
from devtools.programs import Program, RiskApiProcess, Worker
from devtools.settled import wait_until_settled
from devtools.stack.ports import free_port
from tests.chaos.previous import Version
from tests.support.cloned import Template
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import faust
from tests.support.servers import Servers

_TAIL = 4_000


class Group:
    """Opened by `opened`; its programs end with it."""

    def __init__(self, servers: Servers, database: Database, folder: Path) -> None:
        self.folder, self.database = folder, database
        self.topics = Topics(servers)
        self.risk = RiskApiProcess(free_port(), folder)
        self._programs: list[Program] = [self.risk]
        self.environ = {
            "CREDITSTREAM_KAFKA_BROKERS": servers.brokers,
            "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": str(servers.replication_factor),
            "CREDITSTREAM_TOPIC_PREFIX": self.topics.prefix,
            "CREDITSTREAM_GROUP": f"{self.topics.prefix}workers",
            "CREDITSTREAM_POSTGRES_DSN": database.dsn,
            "CREDITSTREAM_REDIS_URL": servers.redis_url,
            "CREDITSTREAM_RISK_URL": self.risk.url,
            "CREDITSTREAM_RETRY_DELAY": "1",
        }

    @classmethod
    @contextmanager
    def opened(cls, servers: Servers, template: Template, folder: Path) -> Iterator["Group"]:
        with template.cloned() as database:
            group = cls(servers, database, folder)
            try:
                group.topics.create()
                group.risk.wait_until_ready()
                yield group
            finally:
                for program in group._programs:
                    program.discard()
                group.topics.delete()

    def worker(self, name: str, *launcher: str, **settings: object) -> Worker:
        """A worker, started; `launcher`: a module of tests/chaos and its arguments, to start it in place of faust."""
        given = {f"CREDITSTREAM_{key.upper()}": str(value) for key, value in settings.items()}
        command = [sys.executable, "-m", f"tests.chaos.{launcher[0]}", *launcher[1:], "worker"] if launcher else None
        return self._started({**self._environ(name), **given}, name, command)

    def worker_of(self, version: Version, name: str) -> Worker:
        """A worker of a previous version, started."""
        return self._started(version.environ(self._environ(name)), name)

    def _environ(self, name: str) -> dict[str, str]:
        own = {"CREDITSTREAM_DATA_DIR": str(self.folder / name), "CREDITSTREAM_WEB_PORT": str(free_port())}
        return self.environ | own

    def _started(self, environ: Mapping[str, str], name: str, command: list[str] | None = None) -> Worker:
        worker = Worker(environ, self.folder, name, command=command)
        self._programs.append(worker)
        return worker

    def settle(self, records: int) -> None:
        asyncio.run(wait_until_settled(load_settings(self.environ), records))

    def audit(self) -> str:
        """Empty when the books are clean, else what the audit says."""
        done = faust(self.environ, "audit", "--json")
        return "" if done.returncode == 0 else done.stdout + done.stderr


def is_stopped(worker: Worker, number: signal.Signals) -> bool:
    """Whether it has ended by SIGKILL, or is frozen by SIGSTOP."""
    if number is signal.SIGKILL:
        return worker.exit_code is not None
    state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def is_at_work(worker: Worker) -> bool:
    """It has partitions, and no rebalance is on; asked of the log, which is appended to where a disk is used again."""
    said = re.findall(r"rebalancing|at work on partitions \[(.*)\]", worker.log())
    return bool(said and said[-1])


def is_back(worker: Worker) -> Callable[[], bool]:
    """In the group again: it says so after the rebalance that its waking caused. Fails when it has ended instead."""

    def back() -> bool:
        said = worker.log()
        assert worker.exit_code is None, f"it ended with {worker.exit_code}:\n{said[-_TAIL:]}"
        return "at work on partitions" in said.rpartition("rebalancing")[2]

    return back
