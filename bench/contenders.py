"""Who takes part in the benchmark: each is started as a real process, watched from outside and stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from bench.peers import PEERS_PYTHON
from devtools.stack.ports import free_port

_HERE = Path(__file__).resolve().parent
_READY_WITHIN = 120.0
_STOP_WITHIN = 60.0
_POLL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


class Place(NamedTuple):
    """Where a contender works: all CREDITSTREAM_… settings with a database and topics of its own, and a folder."""

    environ: Mapping[str, str]
    folder: Path

    @property
    def dsn(self) -> str:
        return self.environ["CREDITSTREAM_POSTGRES_DSN"]

    def topic(self, name: str) -> str:
        return self.environ["CREDITSTREAM_TOPIC_PREFIX"] + name


class Contender:
    """A worker of some make. Subclasses say how it is started, when it is ready, and where its rows are."""

    #: What it says in its log once it has its partitions.
    says: ClassVar[str] = "ready"
    #: Its rows: the decided orders, with when each was committed.
    rows: ClassVar[str] = "SELECT order_id::text, extract(epoch FROM committed_at)::float8 FROM bench_orders"
    count: ClassVar[str] = "SELECT count(*) FROM bench_orders"
    #: Orders of one burst, by the latency of the risk API: enough for some seconds, few enough for twelve minutes.
    orders: ClassVar[Mapping[int, int]] = {0: 4_000, 5: 4_000, 50: 4_000}

    def __init__(self, place: Place, **overrides: str) -> None:
        self.place, self._overrides = place, overrides
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.place.folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDITSTREAM_")}
        with (self.place.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**inherited, "PYTHONUNBUFFERED": "1", **self.settings()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN
        while self.says not in (log_text := self.log()):
            if self.has_ended() or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"creditstream: {self.place.folder.name} did not start: {log_text[-2000:]}")
            time.sleep(_POLL)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self.process.pid if self.process else 0

    def command(self) -> list[str]:
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        raise NotImplementedError

    def stop(self) -> None:
        """Its own end, or ours after a minute."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of the process and its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.place.folder / "log").read_text(errors="replace")
        return ""


class Creditstream(Contender):
    """This program, as its users start it."""

    says = "at work on partitions"
    rows = (
        "SELECT order_id::text, extract(epoch FROM updated_at)::float8 FROM orders WHERE status IN "
        "('approved', 'rejected')"
    )
    count = "SELECT count(*) FROM orders WHERE status IN ('approved', 'rejected')"
    orders: ClassVar[Mapping[int, int]] = {0: 20_000, 5: 20_000, 50: 20_000}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "faust", "-A", "creditstream", "worker"]

    def settings(self) -> dict[str, str]:
        own = {"CREDITSTREAM_WEB_PORT": str(free_port()), "CREDITSTREAM_DATA_DIR": str(self.place.folder / "data")}
        return {"PYTHONPATH": str(_HERE.parent), **self.place.environ, **own, **self._overrides}


class Handwritten(Contender):
    """The limit: one loop written by hand."""

    orders: ClassVar[Mapping[int, int]] = {0: 20_000, 5: 20_000, 50: 20_000}

    def command(self) -> list[str]:
        return [sys.executable, str(_HERE / "handwritten.py")]

    def settings(self) -> dict[str, str]:
        environ = self.place.environ
        return {
            "LOOP_BROKERS": environ["CREDITSTREAM_KAFKA_BROKERS"],
            "LOOP_GROUP": environ["CREDITSTREAM_GROUP"],
            "LOOP_TOPIC_PREFIX": environ["CREDITSTREAM_TOPIC_PREFIX"],
            "LOOP_RISK_URL": environ["CREDITSTREAM_RISK_URL"],
            "LOOP_POSTGRES_DSN": self.place.dsn,
            "LOOP_DATA_DIR": str(self.place.folder / "data"),
            **self._overrides,
        }


class Bare(Handwritten):
    """The same loop without an HTTP library: bare sockets."""

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "LOOP_HTTP": "httptools"}


class Guide(Contender):
    """The agent that Faust's guide would have you write, started as the guide says."""

    says = "Worker ready"

    def command(self) -> list[str]:
        return [sys.executable, str(_HERE / "guide_agent.py"), "worker", "-l", "info"]

    def settings(self) -> dict[str, str]:
        environ = self.place.environ
        return {
            "GUIDE_APP_ID": environ["CREDITSTREAM_GROUP"],
            "GUIDE_BROKERS": environ["CREDITSTREAM_KAFKA_BROKERS"],
            "GUIDE_RISK_URL": environ["CREDITSTREAM_RISK_URL"],
            "GUIDE_POSTGRES_DSN": self.place.dsn,
            "GUIDE_DATA_DIR": str(self.place.folder / "data"),
            "GUIDE_ORDERS_TOPIC": self.place.topic("orders"),
            "GUIDE_STATUS_TOPIC": self.place.topic("guide-status"),
            "GUIDE_PARTITIONS": environ.get("CREDITSTREAM_PARTITIONS", "4"),
        }


class Peer(Contender):
    """Another framework, in the virtual environment of the benchmark."""

    script: ClassVar[str]

    def command(self) -> list[str]:
        return [str(PEERS_PYTHON), str(_HERE / self.script)]

    def settings(self) -> dict[str, str]:
        environ = self.place.environ
        return {
            "PEER_BROKERS": environ["CREDITSTREAM_KAFKA_BROKERS"],
            "PEER_GROUP": environ["CREDITSTREAM_GROUP"],
            "PEER_RISK_URL": environ["CREDITSTREAM_RISK_URL"],
            "PEER_POSTGRES_DSN": self.place.dsn,
            "PEER_ORDERS_TOPIC": self.place.topic("orders"),
            "PEER_STATUS_TOPIC": self.place.topic("order-status"),
            "PEER_DATA_DIR": str(self.place.folder / "data"),
        }


class FastStreamPeer(Peer):
    """FastStream as its docs show it."""

    script = "faststream_peer.py"


class QuixPeer(Peer):
    """Quix Streams as its docs show it: synchronous, so that few orders take long."""

    script = "quix_peer.py"
    says = "now processing incoming messages"
    orders: ClassVar[Mapping[int, int]] = {0: 3_000, 5: 900, 50: 150}


CONTENDERS: dict[str, Callable[[Place], Contender]] = {
    "creditstream": Creditstream,
    "handwritten": Handwritten,
    "bare": Bare,
    "guide": Guide,
    "faststream": FastStreamPeer,
    "quix": QuixPeer,
}
