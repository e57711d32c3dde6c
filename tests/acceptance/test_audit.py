"""The audit on a live system: no false alarm while orders flow, no true fault that it does not see."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from creditstream.config.load import load_settings
from creditstream.operations.audit import audit
from creditstream.simulation.mix import make_mix
from devtools.programs import RiskApiProcess
from devtools.stack.ports import free_port
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database, ask, with_database
from tests.support.kafka import Sent, Topics
from tests.support.planted import plant_undecided
from tests.support.product import audited, faust, order_line, settle

_AUDITS, _AT_ONCE = 2, 30


def not_clean(environ: dict[str, str]) -> dict[str, Any]:
    """The report of an audit that finds something."""
    done = faust(environ, "audit", "--json")
    assert done.returncode == 1, done
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    return report


def test_audits_under_load_give_no_false_alarm(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(error_rate=0.2)
    trouble = {"risk_deadline": 0.5, "risk_attempt_timeout": 0.4, "under_review_after": 0.2, "retry_delay": 1}
    start_worker(**trouble)
    start_worker(**trouble)
    lines, enough = make_mix(6_000, 300, 100, 100, seed=27), threading.Event()

    def flow() -> int:
        """Some 200 records a second: each time a producer is made. How many were sent."""
        for start in range(0, len(lines), _AT_ONCE):
            if enough.is_set():
                return start
            topics.produce("orders", [(None, line.value) for line in lines[start : start + _AT_ONCE]])
        return len(lines)

    with ThreadPoolExecutor() as pool:
        flowing = pool.submit(flow)
        try:
            found = [audited(worker_environ) for _ in range(_AUDITS)]
        finally:
            enough.set()
        sent = flowing.result()
    assert found[0]["records"] < found[1]["records"] <= sent
    risk_api.control(error_rate=0.0)
    settle(worker_environ, sent)
    report = audited(worker_environ)
    assert (report["records"], report["on_the_way"]) == (sent, 0)


def test_records_that_kafka_removed_before_they_were_read_are_lost_and_stay_known(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(error_rate=1.0)
    settings = {"risk_deadline": 0.5, "risk_attempt_timeout": 0.4, "retry_delay": 3000}
    worker = start_worker(**settings)
    topics.send_lines("orders", [order_line(uuid4()) for _ in range(6)])
    settle(worker_environ, 6)
    topics.remove_all("orders")
    report = audited(worker_environ)
    assert (report["records"], report["under_review"]) == (0, 6), "read and then removed: they wait for their attempt"
    worker.stop()
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(3)], partition=2)
    report = audited(worker_environ)
    assert report["on_the_way"] == 3, "nobody is at work, and nothing is lost"

    topics.remove_all("orders")
    topics.remove_all("orders-retry")
    before = not_clean(worker_environ)
    assert before["lost"] == 3 + 6 + 6, "never read; attempts that are gone; and their orders, which nobody decides"
    said = " ".join(before["examples"]["lost"])
    assert "3 records, up to offset" in said
    assert "under review (risk_unavailable), but no attempt on orders-retry and no dead letter" in said
    start_worker(**settings)

    def passed() -> bool:
        letters = topics.consume_all("orders-dead-letter")
        return sum(dict(letter.headers)["x-error-class"] == b"removed_unread" for letter in letters) >= 2

    wait_for(passed, 60, "the workers go on, and write down from where")
    topics.send_lines("orders", [order_line(uuid4()) for _ in range(4)])
    settle(worker_environ, 0)
    after = not_clean(worker_environ)
    assert after["lost"] == before["lost"], "what was never read is not forgotten when the group has moved on"
    assert after["dead_letters"]["removed_unread"] >= 2


@pytest.mark.parametrize("reason", ["waiting_for_risk", "risk_unavailable"])
def test_an_order_that_nobody_tries_again_is_lost(
    reason: str, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    order_id, then = uuid4(), datetime.now(UTC) - timedelta(days=60)
    plant_undecided(topics, database, order_id, reason, then)
    report = not_clean(worker_environ)
    assert (report["lost"], report["duplicated"], report["divergent"]) == (1, 0, 0)
    assert report["examples"]["lost"] == [
        f"{order_id}: under review ({reason}), but no attempt on orders-retry and no dead letter: nobody decides it"
    ]
    due = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    waiting = Sent(b"{}", str(order_id).encode(), 0, headers=[("x-next-attempt-at", str(due).encode())])
    topics.send("orders-retry", [waiting])
    assert audited(worker_environ)["under_review"] == 1, "it is tried again in an hour"


@contextmanager
def copied(database: Database) -> Iterator[str]:
    """A server's database as it is now, and stays: it lags more and more."""
    name = f"{database.name}_then"
    ask(with_database(database.dsn, "postgres"), f"CREATE DATABASE {name} TEMPLATE {database.name}")
    try:
        yield with_database(database.dsn, name)
    finally:
        ask(with_database(database.dsn, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def test_a_replica_that_lags_is_asked_first_and_the_primary_about_the_rest(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    topics: Topics,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = start_worker()
    ids = [uuid4() for _ in range(30)]
    topics.send_lines("orders", [order_line(order_id) for order_id in ids[:20]])
    settle(worker_environ, 20)
    worker.stop()
    with copied(database) as dsn:
        start_worker()
        topics.send_lines("orders", [order_line(order_id) for order_id in ids[20:]])
        settle(worker_environ, 30)
        lagging = worker_environ | {"CREDITSTREAM_POSTGRES_REPLICA_DSN": dsn}
        report = audited(lagging)
        assert (report["orders"], report["approved"] + report["rejected"]) == (30, 20), "the replica was read"
        database.fetch("DELETE FROM orders WHERE order_id = %s RETURNING 1", (str(ids[25]),))
        assert not_clean(lagging)["lost"] == 1
        monkeypatch.setattr("creditstream.operations.audit.reconcile._LARGE", 0)
        by_two = asyncio.run(audit(load_settings(lagging)))
        assert (by_two.orders, by_two.lost, by_two.divergent) == (30, 1, 1), "two processes find the same"
    away = worker_environ | {"CREDITSTREAM_POSTGRES_REPLICA_DSN": f"postgresql://x@127.0.0.1:{free_port()}/x"}
    done = faust(away, "audit")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the replica (CREDITSTREAM_POSTGRES_REPLICA_DSN)" in done.stderr
    assert not list(Path(worker_environ["CREDITSTREAM_DATA_DIR"]).glob("audit-*")), "nothing is left behind"
