"""A worker is killed, or frozen, at every arrow of an order's way; another finishes; the books must be clean (I5)."""

import asyncio
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from creditstream.dev.mix import make_mix
from creditstream.dev.programs import Program, RiskApiProcess, Worker, free_port
from creditstream.dev.settled import wait_until_settled
from creditstream.dev.wait import wait_for
from creditstream.settings import load_settings
from tests.chaos.stopped_worker import POINTS
from tests.support.database import cloned
from tests.support.kafka import Topics
from tests.support.product import audited
from tests.support.servers import Servers

#: The machine has two cores; most of a case is waiting for the group to give up its dead member.
_AT_ONCE = 5
_ORDERS = 150
_STOPS_WITHIN = 60.0
#: Points that every order passes; a whole batch passes the others at once.
_PASSED_BY_EACH = {"after_decode", "before_risk_call", "after_risk_answer", "before_acknowledge", "after_acknowledge"}


class Case:
    """One group of workers with topics, a database and a risk API of its own, and one point to stop at."""

    def __init__(self, servers: Servers, template: str, folder: Path, point: str, number: signal.Signals) -> None:
        self.servers, self.template, self.point, self.signal = servers, template, point, number
        self.folder = folder / f"{point}-{number.name}"
        self.topics = Topics(servers)
        self.programs: list[Program] = []

    def run(self) -> str:
        """Empty, or what went wrong."""
        self.topics.create()
        try:
            with cloned(self.servers.postgres_dsn, self.servers.replica_dsn, self.template) as database:
                self.environ = {
                    "CREDITSTREAM_KAFKA_BROKERS": self.servers.brokers,
                    "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": str(self.servers.replication_factor),
                    "CREDITSTREAM_TOPIC_PREFIX": self.topics.prefix,
                    "CREDITSTREAM_GROUP": f"{self.topics.prefix}workers",
                    "CREDITSTREAM_POSTGRES_DSN": database.dsn,
                    "CREDITSTREAM_REDIS_URL": self.servers.redis_url,
                    "CREDITSTREAM_SESSION_TIMEOUT": "6",
                    "CREDITSTREAM_RETRY_DELAY": "1",
                }
                self._play()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cases go on
            return f"{self.point} {self.signal.name}: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}"
        finally:
            for program in self.programs:
                program.discard()
            self.topics.delete()
        return ""

    def _play(self) -> None:
        risk = RiskApiProcess(free_port(), self.folder)
        self.programs.append(risk)
        risk.wait_until_ready()
        risk.control(latency_ms=20)
        self.environ["CREDITSTREAM_RISK_URL"] = risk.url
        stopped = self._worker("stopped", self._command())
        stopped.wait_until_ready()
        lines = make_mix(_ORDERS, 10, 5, 5, seed=3)
        half = len(lines) // 2
        self.topics.produce("orders", [(None, line.value) for line in lines[:half]])
        wait_for(lambda: _is_stopped(stopped, self.signal), _STOPS_WITHIN, f"the worker stops {self.point}")
        self._worker("other", None)
        self.topics.produce("orders", [(None, line.value) for line in lines[half:]])
        asyncio.run(wait_until_settled(load_settings(self.environ), len(lines)))
        if self.signal is signal.SIGSTOP:
            stopped.send(signal.SIGCONT)
            wait_for(lambda: stopped.log().count("rebalancing") > 1, _STOPS_WITHIN, "the zombie notices")
            wait_for(stopped_is_back(stopped), _STOPS_WITHIN, "the zombie is back in the group")
        report = audited(self.environ)
        assert (report["orders"], report["under_review"]) == (_ORDERS, 0), report
        # I6: one call an order, and for those in flight at the stop one more by the other worker and one repeated by
        # the zombie, whose own attempt timed out while it was frozen.
        calls, bound = risk.journal()["calls"], _ORDERS + 2 * half
        assert calls <= bound, f"{calls} risk calls for {_ORDERS} orders, {bound} are within I6"

    def _command(self) -> list[str]:
        passing = "5" if self.point in _PASSED_BY_EACH else "1"
        return [sys.executable, "-m", "tests.chaos.stopped_worker", self.point, self.signal.name, passing, "worker"]

    def _worker(self, name: str, command: list[str] | None) -> Worker:
        own = {
            "CREDITSTREAM_DATA_DIR": str(self.folder / name),
            "CREDITSTREAM_WEB_PORT": str(free_port()),
        }
        worker = Worker({**self.environ, **own}, self.folder, name, command=command)
        self.programs.append(worker)
        return worker


def stopped_is_back(worker: Worker) -> Callable[[], bool]:
    """In the group again: it says so after the rebalance that its waking caused."""
    return lambda: "at work on partitions" in worker.log().rpartition("rebalancing")[2]


def _is_stopped(worker: Worker, number: signal.Signals) -> bool:
    if number is signal.SIGKILL:
        return worker.exit_code is not None
    state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_stops_at_any_point_loses_and_doubles_nothing(
    stack: Servers, template: str, tmp_path: Path, number: signal.Signals
) -> None:
    cases = [Case(stack, template, tmp_path, point, number) for point in POINTS]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        problems = [problem for problem in pool.map(Case.run, cases) if problem]
    assert not problems, "\n".join(problems)
