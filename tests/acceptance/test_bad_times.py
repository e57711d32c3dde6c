"""The risk API has bad times, one after the other: real worker, real simulator, and the books at the end."""

import time
from uuid import uuid4

import psutil

from devtools.programs import RiskApiProcess, Worker
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, order_line, settle

_ORDERS = 300
_MOST = 100
_FLAPS = 3
#: Decided, or shown under review because its calls failed.
_SEEN = "SELECT count(*) FROM orders"
_DECIDED = "SELECT count(*) FROM orders WHERE status <> 'under_review'"
_DEADLINE = 120.0
#: Repeats that the budget grants in nine to ten seconds although there are few orders.
_FEW = 10
_SETTINGS = {
    "risk_breaker_min_calls": 10,
    "risk_breaker_pause": 0.5,
    # Not by chance: here a call that is slow has not failed.
    "risk_deadline": 120,
    "risk_attempt_timeout": 60,
    "retry_delay": 1,
    "retry_max_delay": 2,
    "retry_max_attempts": 1_000,
    "max_in_flight": _MOST,
    "log_level": "DEBUG",
}


def told(worker: Worker, what: str) -> int:
    return worker.log().count(f"circuit {what}")


def wait_for_more(worker: Worker, what: str, than: int) -> None:
    wait_for(lambda: told(worker, what) > than, _DEADLINE, f"circuit {what}")


def send(topics: Topics) -> None:
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(_ORDERS)])


def test_nothing_is_lost_and_there_is_no_storm_and_all_goes_on_by_itself(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    worker = start_worker(**_SETTINGS)
    memory = psutil.Process(worker.pid).memory_info
    before, sent = memory().rss, 0

    def decided(count: int, what: str) -> None:
        wait_for(lambda: database.fetch(_DECIDED) == [(count,)], _DEADLINE, f"all are decided after {what}")

    # Flapping: each time it is down until the circuit opens, and up until it closes.
    for _ in range(_FLAPS):
        risk_api.control(mode="reset")
        opened, closed = told(worker, "open"), told(worker, "closed")
        send(topics)
        sent += _ORDERS
        wait_for_more(worker, "open", opened)
        risk_api.control(mode="ok")
        wait_for_more(worker, "closed", closed)
    decided(sent, "flapping")

    # A brown-out: ten times the latency. Slower, and no failure.
    failures = told(worker, "open")
    risk_api.control(latency_ms=20)
    send(topics)
    risk_api.control(latency_ms=200)
    send(topics)
    sent += 2 * _ORDERS
    decided(sent, "a brown-out")
    assert told(worker, "open") == failures
    risk_api.control(latency_ms=0)

    # Half of all calls fail, until every order was asked about.
    calls, turns, since = risk_api.journal()["calls"], topics.written("orders-retry"), time.monotonic()
    risk_api.control(error_rate=0.5)
    send(topics)
    sent += _ORDERS
    wait_for(lambda: database.fetch(_SEEN) == [(sent,)], _DEADLINE, "all were asked about or are shown")
    risk_api.control(error_rate=0.0)
    decided(sent, "half of all calls failed")
    # Each turn of an order is one call, and repeats are at most a fifth of them.
    turns, windows = _ORDERS + topics.written("orders-retry") - turns, 1 + (time.monotonic() - since) / 9
    assert risk_api.journal()["calls"] - calls <= 1.2 * turns + _FEW * windows

    settle(worker_environ, sent)
    report = audited(worker_environ)
    assert (report["orders"], report["duplicates"], report["dead_letters"]) == (sent, 0, {})
    assert memory().rss - before < 100_000_000
