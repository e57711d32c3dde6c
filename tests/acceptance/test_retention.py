"""Old months go under load; their orders' ids outlast them; a month that is written to stays."""

import threading
from contextlib import closing
from datetime import UTC, datetime
from urllib.error import HTTPError
from uuid import UUID, uuid4

import psycopg2

from creditstream.simulation.mix import make_mix
from devtools.programs import http
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, settle

_OLD, _REVIVED = "2025-02-10T12:00:00Z", "2025-03-10T12:00:00Z"
_TABLES = "SELECT relname FROM pg_class WHERE relname ~ 'orders_2025_0[23]$' AND relkind = 'r' ORDER BY 1"
_COUNT = "SELECT count(*) FROM orders WHERE status <> 'under_review'"


def test_old_months_are_dropped_under_load(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    settings = {"CREDITSTREAM_RETENTION_MONTHS": "12", "CREDITSTREAM_RETENTION_KEYS_MONTHS": "1"}
    worker = start_worker(retention_months=12)
    old, revived = [uuid4() for _ in range(20)], uuid4()
    lines = [order_line(order_id, created_at=_OLD) for order_id in old[:-1]]
    lines += [order_line(old[-1], created_at=_OLD, customer_id="nofile-1"), order_line(revived, created_at=_REVIVED)]
    topics.send_lines("orders", lines)
    settle(worker_environ, 21)
    # What was written last is asked for, and is none of what is changed below without a new version.
    topics.send_lines("orders", [order_line(uuid4()) for _ in range(25)])
    settle(worker_environ, 46)
    assert str(old[0]) in str(worker.get(f"/orders/{old[0]}"))
    database.fetch("UPDATE orders SET updated_at = created_at WHERE created_at < '2025-03-01'")

    dry = faust(worker_environ | settings, "retention", "--dry-run")
    assert dry.stdout.splitlines() == [
        "2025-02: would drop 20 orders, 1 of them waiting for a person",
        "2025-03: kept, 1 of its 1 orders were written since",
    ]
    assert database.fetch(_TABLES) == [("orders_2025_02",), ("orders_2025_03",)]

    with closing(psycopg2.connect(database.dsn)) as reader:
        reader.cursor().execute("SELECT count(*) FROM orders")  # a long report, which locks all months until it ends
        done = []
        dropping = threading.Thread(target=lambda: done.append(faust(worker_environ | settings, "retention")))
        dropping.start()
        waits = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)"
        wait_for(lambda: database.fetch(waits) == [(True,)], 60, "the month is being detached")
        topics.produce("orders", [(None, line.value) for line in make_mix(200, 0, 0, 0, seed=4, now=datetime.now(UTC))])
        wait_for(lambda: database.fetch(_COUNT) >= [(225,)], 60, "orders are decided meanwhile")
    dropping.join()
    assert done[0].returncode == 0, done[0]
    assert "1 months dropped, 20 orders removed from order-status, 0 ids deleted" in done[0].stdout
    assert database.fetch(_TABLES) == [("orders_2025_03",)]
    last = {record.key: record.value for record in topics.consume_all("order-status")}
    assert {UUID((key or b"").decode()) for key, value in last.items() if value is None} == set(old)
    database.wait_for_replica()
    assert _answer(f"{worker.url}/orders/{old[0]}") == 404

    # A repeat, the same id with other content, and a new order of that month: nothing comes back to life.
    again = [lines[0], order_line(old[1], created_at=_OLD, amount="1.00"), order_line(uuid4(), created_at=_OLD)]
    topics.send_lines("orders", again)
    settle(worker_environ, 249)
    assert audited(worker_environ)["dead_letters"] == {"conflict": 1, "no_usable_answer": 1}
    assert database.fetch("SELECT count(*) FROM orders WHERE created_at < '2025-03-01'") == [(1,)]

    keys = "SELECT count(*) FROM order_keys WHERE created_at < '2025-03-01'"
    assert database.fetch(keys) == [(21,)]
    database.fetch("UPDATE dropped_months SET dropped_at = now() - interval '3 months'")
    assert "20 ids deleted" in faust(worker_environ | settings, "retention").stdout
    assert database.fetch(keys) == [(1,)], "the id of a row that is there stays"


def _answer(url: str) -> object:
    """The JSON that says what is there, or the number of the refusal."""
    try:
        return http(url)
    except HTTPError as error:
        return error.code
