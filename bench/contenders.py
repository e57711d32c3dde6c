"""Who takes part in the benchmark: each is prepared, started as a real process, watched from outside and stopped."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from creditstream.dev.stack.product import prepare_product

_READY_WITHIN = 90.0
_STOP_WITHIN = 60.0
_POLL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


class Place(NamedTuple):
    """Where a contender works: the stack's settings, a label that nothing else has, a folder of its own."""

    stack: Mapping[str, str]
    label: str
    folder: Path


class Contender:
    """A worker of some make. Subclasses say how it is started, when it is ready, and what it has decided."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._database = f"bench_{uuid.uuid4().hex[:10]}"
        dsn = place.stack["CREDITSTREAM_POSTGRES_DSN"]
        self.admin_dsn, self.dsn = dsn, dsn.rpartition("/")[0] + f"/{self._database}"
        self.environ = {
            **place.stack,
            "CREDITSTREAM_POSTGRES_DSN": self.dsn,
            "CREDITSTREAM_POSTGRES_REPLICA_DSN": "",
            "CREDITSTREAM_TOPIC_PREFIX": f"{place.label}-",
            "CREDITSTREAM_GROUP": place.label,
            "CREDITSTREAM_DATA_DIR": str(place.folder / "data"),
        }
        self.process: subprocess.Popen[bytes]

    def prepare(self) -> None:
        """A database and topics of its own."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self.ask(self.admin_dsn, f"CREATE DATABASE {self._database}")
        prepare_product(self.environ)

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDITSTREAM_")}
        with (self.place.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), env={**inherited, **self.settings()}, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _READY_WITHIN
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"creditstream: {self.place.label} did not start: see {self.place.folder}/log")
            time.sleep(_POLL)

    def command(self) -> list[str]:
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def decided(self) -> int:
        """How many orders have a final row."""
        raise NotImplementedError

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.ask(self.admin_dsn, f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)")

    def cpu_seconds(self) -> float:
        """User and system time of the process and its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @staticmethod
    def ask(dsn: str, statement: str) -> Any:
        with closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None

    def log_has(self, text: str) -> bool:
        return text in (self.place.folder / "log").read_text(errors="replace")


class Creditstream(Contender):
    """This program, as its users start it."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "faust", "-A", "creditstream", "worker"]

    def settings(self) -> dict[str, str]:
        return {**self.environ, "CREDITSTREAM_WEB_PORT": "6166"}

    def is_ready(self) -> bool:
        return self.log_has("at work on partitions")

    def decided(self) -> int:
        return int(self.ask(self.dsn, "SELECT count(*) FROM orders WHERE status <> 'under_review'"))


class Guide(Contender):
    """The agent that Faust's guide would have you write, started as the guide says."""

    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("guide_agent.py")), "worker", "-l", "info"]

    def settings(self) -> dict[str, str]:
        return {
            "GUIDE_APP_ID": self.place.label,
            "GUIDE_BROKERS": self.environ["CREDITSTREAM_KAFKA_BROKERS"],
            "GUIDE_RISK_URL": self.environ["CREDITSTREAM_RISK_URL"],
            "GUIDE_POSTGRES_DSN": self.dsn,
            "GUIDE_DATA_DIR": str(self.place.folder / "data"),
            "GUIDE_ORDERS_TOPIC": self.environ["CREDITSTREAM_TOPIC_PREFIX"] + "orders",
            "GUIDE_STATUS_TOPIC": self.environ["CREDITSTREAM_TOPIC_PREFIX"] + "guide-status",
        }

    def is_ready(self) -> bool:
        return self.log_has("Worker ready")

    def decided(self) -> int:
        if self.ask(self.dsn, "SELECT to_regclass('guide_orders')") is None:
            return 0
        return int(self.ask(self.dsn, "SELECT count(*) FROM guide_orders"))


CONTENDERS: dict[str, Callable[[Place], Contender]] = {"creditstream": Creditstream, "guide": Guide}
