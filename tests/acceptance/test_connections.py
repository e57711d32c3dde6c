"""Who connects and does nothing, or only half of it, stops no order, no answer and no end of the worker."""

from uuid import uuid4

import psutil

from creditstream.dev.programs import RiskApiProcess, faust_command
from creditstream.dev.wait import wait_for
from tests.conftest import StartWorker
from tests.support.crowd import Crowd
from tests.support.kafka import Topics
from tests.support.product import order_line, settle
from tests.support.web import Stream, ask

TOKEN = "a-long-enough-token"
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
            assert next(page.statuses()).data["status"] in ("approved", "rejected")
        for path in ("/health/live", "/health/ready", "/stats", "/orders?limit=100", "/metrics"):
            assert ask(worker.url + path).status == 200, path
        assert psutil.Process(worker.pid).num_fds() < _DESCRIPTORS - 128, "there is room for more of the worker's own"
    assert "Too many open files" not in worker.log()
    assert "Traceback" not in worker.log()
