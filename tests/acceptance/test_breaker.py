"""The risk API fails: the circuit opens, intake pauses, and all goes on by itself when the API is back."""

from uuid import uuid4

from devtools.programs import RiskApiProcess, Worker, answers
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, order_line, settle

_ORDERS = 400
_MOST = 50
_PROBES = 3
_SETTINGS = {
    "risk_breaker_min_calls": 10,
    "risk_breaker_pause": 0.5,
    "risk_deadline": 2,
    "risk_attempt_timeout": 1,
    "retry_delay": 1,
    "max_in_flight": _MOST,
    "log_level": "DEBUG",
}


def send(topics: Topics, count: int = _ORDERS) -> None:
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(count)])


def probes(worker: Worker) -> int:
    return worker.log().count("circuit: half_open, was open")


def is_open(worker: Worker) -> bool:
    return "circuit open" in worker.log()


def test_the_circuit_opens_intake_stops_and_all_are_decided_after_recovery(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(error_rate=1.0)
    worker = start_worker(**_SETTINGS)
    send(topics)
    wait_for(lambda: is_open(worker), what="the circuit opens")
    wait_for(lambda: probes(worker) >= 1, what="a probe")
    first, calls = probes(worker), risk_api.journal()["calls"]
    wait_for(lambda: probes(worker) >= first + _PROBES, what="more probes")
    asked = risk_api.journal()["calls"] - calls
    assert asked <= probes(worker) - first + 1, "an open circuit costs one call a probe"
    [(taken,)] = database.fetch("SELECT count(*) FROM orders")
    assert taken < 3 * _MOST, "intake has stopped"
    assert len(topics.consume_all("orders-retry")) < 3 * _MOST, "they wait here and are not parked"
    assert answers(f"{worker.url}/health/ready"), "nothing is wrong with this worker"
    risk_api.control(error_rate=0.0)
    decided = "SELECT count(*) FROM orders WHERE status <> 'under_review'"
    wait_for(lambda: database.fetch(decided) == [(_ORDERS,)], 60, "all are decided")
    assert "circuit closed" in worker.log()
    assert worker.log().count("circuit open") == 1, "one line for an outage"
    assert "stamina" not in worker.log()
    settle(worker_environ, _ORDERS)
    assert audited(worker_environ)["orders"] == _ORDERS


def test_a_stop_is_bounded_while_the_circuit_is_open(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(error_rate=1.0)
    worker = start_worker(**{**_SETTINGS, "risk_breaker_pause": 300, "drain_timeout": 1})
    send(topics)
    wait_for(lambda: is_open(worker), what="the circuit opens")
    assert worker.stop(deadline=30) == 0
    risk_api.control(error_rate=0.0)
    start_worker(**_SETTINGS)
    decided = "SELECT count(*) FROM orders WHERE status <> 'under_review'"
    wait_for(lambda: database.fetch(decided) == [(_ORDERS,)], 60, "all are decided")
    settle(worker_environ, _ORDERS)
    assert audited(worker_environ)["orders"] == _ORDERS
