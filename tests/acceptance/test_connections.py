"""Who connects and does nothing, or only half of it, stops no order, no answer and no end of the worker."""

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from devtools.programs import RiskApiProcess, Worker, faust_command
from devtools.stack import Ports, Stack
from devtools.stack.ports import free_port
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.crowd import Crowd, connected, first_of_answer
from tests.support.kafka import Topics
from tests.support.nonsense import NONSENSE, mutated
from tests.support.product import faust, order_line, settle
from tests.support.servers import LOCAL
from tests.support.web import Stream, ask

_ENDS_WITHIN = 30.0
_DESCRIPTORS = 1_024
_AHEAD = "7fffffff.7fffffff.7fffffff.7fffffff"
#: What is sent, and no more comes.
_HALVES = (
    b"",
    b"G",
    b"GET /orders HTTP/1.1\r\nHost: localhost\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntoken=",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntoken",
    f"GET /events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {_AHEAD}\r\n\r\n".encode(),
)
_PATHS = (
    *(b"/", b"/orders?limit=3&status=approved", b"/orders?cursor=%ff", b"/stats", b"/health/ready", b"/metrics"),
    *(b"/orders/7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11", b"/static/%2e%2e/views.py", b"/login"),
)


def test_1100_half_open_connections_stop_nothing_with_1024_descriptors(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str], risk_api: RiskApiProcess
) -> None:
    limited = ["sh", "-c", f'ulimit -n {_DESCRIPTORS} && exec "$@"', "sh", *faust_command("worker")]
    worker = start_worker(command=limited, web_rate=0)
    with Crowd.of(worker.url, 1_100) as crowd:
        wait_for(lambda: crowd.standing >= 1_100 and crowd.closed > 1_100, 60, "the crowd stands, and is thinned out")
        risk_api.control(latency_ms=200)  # so that its connections are opened while the crowd stands
        with Stream(worker.url) as page:
            assert next(page.events).name == "hello"
            topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(600)])
            settle(worker_environ, 600)
            assert any(status.data["status"] in ("approved", "rejected") for status in page.statuses())
        for path in ("/health/live", "/health/ready", "/stats", "/orders?limit=100", "/metrics"):
            assert ask(worker.url + path).status == 200, path
        with ThreadPoolExecutor(50) as many:
            answers = set(many.map(lambda _: ask(worker.url + "/health/ready").status, range(50)))
        assert answers == {200}
        assert psutil.Process(worker.pid).num_fds() < _DESCRIPTORS - 128, "there is room for more of the worker's own"
    check_nonsense(worker)
    assert "Too many open files" not in worker.log()
    assert "Traceback" not in worker.log()


def check_nonsense(worker: Worker) -> None:
    """At every address: an answer that is no error of ours, or the end of the connection."""
    dice = random.Random(2)
    seeds = [*NONSENSE, *_HALVES, *(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in _PATHS)]
    cases = [*seeds, *(mutated(dice, seeds) for _ in range(300))]
    with ThreadPoolExecutor(20) as many:
        for data, answer in zip(cases, many.map(lambda data: first_of_answer(worker.url, data), cases), strict=True):
            assert answer[9:10] in (b"", b"1", b"2", b"3", b"4"), (data, answer)


def test_a_worker_ends_in_time_whoever_is_connected_while_the_risk_api_hangs(
    start_worker: StartWorker, topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(mode="hang")
    worker = start_worker()
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(20)])
    wait_for(lambda: risk_api.journal()["calls"] > 0, what="calls hang")
    with contextlib.ExitStack() as crowd:
        everybody_comes(worker, crowd)
        assert worker.stop(_ENDS_WITHIN) == 0
    assert "Traceback" not in worker.log()


def everybody_comes(worker: Worker, crowd: contextlib.ExitStack) -> None:
    """Open pages, one that reads nothing, one that waits to come in, and requests of which a half has come."""
    for gzip in (False, True):
        page = crowd.enter_context(Stream(worker.url, gzip=gzip))
        assert next(page.events).name == "hello"
    crowd.enter_context(Stream(worker.url, receive=4_096))
    for half in _HALVES:
        crowd.enter_context(connected(worker.url, half))


def test_a_worker_ends_in_time_whoever_is_connected_while_all_servers_are_frozen(
    servers_of_its_own: Stack, risk_api: RiskApiProcess, tmp_path: Path
) -> None:
    stack = servers_of_its_own
    environ = {
        **stack.environment(),
        "CREDITSTREAM_RISK_URL": risk_api.url,
        "CREDITSTREAM_DATA_DIR": str(tmp_path / "data"),
        "CREDITSTREAM_WEB_PORT": str(free_port()),
    }
    assert faust(environ, "migrate").returncode == 0
    worker = Worker(environ, tmp_path, "worker")
    processes: list[psutil.Process] = []
    try:
        worker.wait_until_ready()
        risk_api.control(latency_ms=1_000)
        assert faust(environ, "load", "--count", "200").returncode == 0
        wait_for(lambda: risk_api.journal()["calls"] > 0, what="orders are in flight")
        processes = [process for service in stack.services for process in service.processes()]
        with contextlib.ExitStack() as crowd:
            everybody_comes(worker, crowd)
            for process in processes:
                process.suspend()
            for path in (b"/orders?limit=3", b"/stats", b"/health/ready", b"/events"):
                crowd.enter_context(connected(worker.url, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            assert worker.stop(_ENDS_WITHIN) == 0
    finally:
        worker.discard()
        for process in processes:
            process.resume()


@pytest.fixture
def servers_of_its_own(tmp_path: Path) -> Iterator[Stack]:
    services = {"kafka", "postgres", "replica", "redis"}
    stack = Stack(tmp_path / "stack", Ports.free(), cache=LOCAL / "cache", only=services, brief=True)
    stack.up()
    yield stack
    stack.clean()
