"""Two workers under load, a real Prometheus that scrapes them and a listener for DogStatsD: the whole catalogue is
seen with its types and units, and nothing else; the numbers are those of the books."""

import json
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from creditstream.metrics.catalogue import CATALOGUE
from creditstream.metrics.metric import OTHER
from devtools.programs import Worker
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.dogstatsd import Listener, listening
from tests.support.kafka import Topics
from tests.support.product import order_line, settle
from tests.support.prometheus import Prometheus, prometheus
from tests.support.servers import ROOT

_ORDERS, _DUPLICATES, _MALFORMED, _CONFLICTS = 300, 20, 7, 5
_SENT = _ORDERS + _DUPLICATES + _MALFORMED + _CONFLICTS
_DATADOG = {"counter": "c", "gauge": "g", "histogram": "d"}
_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def config(folder: Path, workers: list[Worker]) -> Path:
    """Scrapes `workers` every second and knows the project's own rules."""
    targets = [worker.url.removeprefix("http://") for worker in workers]
    job = {"job_name": "creditstream", "static_configs": [{"targets": targets}]}
    file = folder / "prometheus.yml"
    rules = [str(ROOT / "deploy" / "prometheus" / name) for name in ("recording.yml", "alerts.yml")]
    settings = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    file.write_text(yaml.safe_dump({"global": settings, "rule_files": rules, "scrape_configs": [job]}))
    return file


def send(topics: Topics) -> None:
    lines = [order_line(uuid4()) for _ in range(_ORDERS - 1)]
    other = [line.replace("1500.00", "1501.00") for line in lines[:_CONFLICTS]]
    again = lines[-_DUPLICATES:]  # not those in conflict: which content is first is chance
    topics.produce("orders", [(None, line.encode()) for line in [*lines, *again, *other]])
    topics.send_lines("orders", ["not an order"] * _MALFORMED)
    traced = f"traceparent:{_TRACE.decode()}\t{order_line(uuid4())}"
    topics.produce_lines("orders", [traced], "--property", "parse.headers=true")


@pytest.fixture
def datadog() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def workers(start_worker: StartWorker, datadog: Listener) -> list[Worker]:
    """The second joins while the first works: a rebalance."""
    # On a machine under load a call may take long; each is to be counted once.
    patient = {"risk_deadline": 60, "risk_attempt_timeout": 60}
    options = {"dogstatsd_address": datadog.address, "log_format": "json", **patient}
    return [start_worker(**options), start_worker(**options)]


@pytest.fixture
def server(workers: list[Worker], tmp_path: Path) -> Iterator[Prometheus]:
    with prometheus(config(tmp_path, workers), tmp_path) as server:
        yield server


def test_the_whole_catalogue_is_seen_and_the_numbers_are_right(
    server: Prometheus,
    workers: list[Worker],
    datadog: Listener,
    topics: Topics,
    database: Database,
    worker_environ: dict[str, str],
) -> None:
    wait_for(lambda: server.value("count(creditstream_replica_lag_seconds)") == 2, 60, "both workers are scraped")
    send(topics)
    for worker in workers:
        worker.get("/stats")
    settle(worker_environ, _SENT)
    check_metadata(server)
    check_numbers(server, database)
    check_datadog(datadog)
    check_rules(server)
    check_content_type(workers[0])
    check_logs(workers)
    check_trace(topics)


def check_metadata(server: Prometheus) -> None:
    """What the workers say, as Prometheus understood it; its own `up` and `scrape_…` are not the targets'."""
    seen = server.api("targets/metadata", match_target='{job="creditstream"}')
    told = {one["metric"]: (one["type"], one["unit"], one["help"]) for one in seen}
    assert told == {metric.full_name: (metric.kind, metric.unit, metric.meaning) for metric in CATALOGUE}
    for metric in CATALOGUE:
        name = metric.full_name + {"counter": "_total", "histogram": "_count", "gauge": ""}[metric.kind]
        assert server.value(f"count({name})"), name
    others = {name for name in server.api("label/__name__/values") if not name.startswith("creditstream")}
    assert all(name in ("ALERTS", "ALERTS_FOR_STATE", "up") or name.startswith("scrape_") for name in others), others


def check_numbers(server: Prometheus, database: Database) -> None:
    [(decided,)] = database.fetch("SELECT count(*) FROM orders WHERE status <> 'under_review'")
    assert decided == _ORDERS
    expected = {
        'sum(creditstream_finished_orders_total{outcome=~"approved|rejected"})': _ORDERS,
        'sum(creditstream_order_latency_seconds_count{stage="published"})': _ORDERS,
        'sum(creditstream_order_latency_seconds_count{stage="committed"})': _ORDERS,
        'sum(creditstream_risk_calls_total{outcome="scored"})': _ORDERS,
        "sum(creditstream_risk_call_seconds_count)": _ORDERS,
        'sum(creditstream_dead_letter_records_total{reason="not_json"})': _MALFORMED,
        'sum(creditstream_dead_letter_records_total{reason="conflict"})': _CONFLICTS,
        "sum(creditstream_duplicate_records_total)": _DUPLICATES,
        "sum(creditstream_lag_records)": 0,
        "sum(creditstream_in_flight_orders)": 0,
        "sum(creditstream_unpublished_orders)": 0,
        "sum(creditstream_owned_partitions)": 12,
        "min(creditstream_partitions_ahead_months)": 2,
        "sum(creditstream_group_rebalances_total) >= bool 1": 1,  # more on a machine that stalls
        "sum(creditstream_rebalance_pause_seconds_count) >= bool 1": 1,
        'sum(creditstream_risk_breaker_state{state="closed"})': 2,
        "sum(creditstream_cache_lookups_total) > bool 0": 1,
    }
    for expression, value in expected.items():
        wait_for(partial(is_now, server, expression, value), 60, f"{expression} is {value}")


def is_now(server: Prometheus, expression: str, value: float) -> bool:
    return server.value(expression) == value


def check_datadog(listener: Listener) -> None:
    def added(name: str) -> float:
        return sum(point.value for point in listener.points() if point.name == f"creditstream.{name}")

    wait_for(lambda: added("dead_letter_records") == _MALFORMED + _CONFLICTS, 60, "the letters are reported")
    wait_for(lambda: added("finished_orders") >= _ORDERS, 60, "the orders are reported")

    def published() -> float:
        """Each value stands for as many orders as its rate says."""
        found = (point for point in listener.points() if point.name == "creditstream.order_latency_seconds")
        return sum(1 / point.rate for point in found if point.tags["stage"] == "published")

    wait_for(lambda: round(published()) == _ORDERS, 60, "the latencies are reported")
    points = listener.points()
    assert {(point.name, point.kind) for point in points} == {
        (metric.datadog_name, _DATADOG[metric.kind]) for metric in CATALOGUE
    }
    assert len({point.tags["worker"] for point in points}) == 2
    assert max(map(len, listener.datagrams)) <= 1_432, "a datagram fits into one packet"
    for point in points:
        [metric] = [metric for metric in CATALOGUE if metric.datadog_name == point.name]
        assert set(point.tags) == {"group", "worker", *(label.name for label in metric.labels)}
        for label in metric.labels:
            assert not label.values or point.tags[label.name] in (*label.values, OTHER)


def check_rules(server: Prometheus) -> None:
    """All of the project's rules are evaluated without an error, and none of its alerts fires on a healthy system."""
    rules = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 20
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def check_content_type(worker: Worker) -> None:
    def content_type(accept: str) -> str:
        request = urllib.request.Request(f"{worker.url}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers["Content-Type"])

    assert content_type("text/plain").startswith("text/plain; version=0.0.4; charset=utf-8")
    openmetrics = "application/openmetrics-text; version=1.0.0"
    assert content_type(openmetrics).startswith(f"{openmetrics}; charset=utf-8")


def check_logs(workers: list[Worker]) -> None:
    """Every line of ours is JSON; a letter's says where its record stands, and nothing of what is in it."""
    text = "".join(worker.log() for worker in workers)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    letters = [line for line in lines if line["message"] == "dead letter: not_json"]
    assert len(letters) == _MALFORMED
    assert all({"topic", "partition", "offset", "reason"} <= set(line) for line in letters)
    assert "not an order" not in text
    assert "c-102" not in text


def check_trace(topics: Topics) -> None:
    """From an order's header to its status record's, over the hop to the home partition; others have none."""
    traces = [dict(status.headers) for status in topics.consume_all("order-status") if status.headers]
    assert traces == [{"traceparent": _TRACE}]
