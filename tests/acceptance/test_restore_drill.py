"""The disaster, by PostgreSQL's own tools: a base backup, its log up to a moment, orders and operators since."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from creditstream.store.migrations import migrate
from devtools.programs import faust_command
from devtools.stack.ports import free_port
from devtools.wait import wait_for
from schemas.status import FORGOTTEN_CUSTOMER, StatusRecord, decode_status
from tests.conftest import StartWorker
from tests.support.archived import ArchivedPostgres
from tests.support.database import ask
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, run_to_end, settle

_OLD = "2025-02-10T12:00:00Z"
_DECIDED = "SELECT count(*) FROM orders WHERE status <> 'under_review'"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[ArchivedPostgres]:
    server = ArchivedPostgres(tmp_path / "postgres", free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Load:
    """Orders go on coming."""

    def __init__(self, topics: Topics) -> None:
        self._topics, self._over = topics, threading.Event()
        self.sent: list[UUID] = []
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._over.wait(0.05):
            new = [uuid4() for _ in range(10)]
            self._topics.send_lines("orders", [order_line(each, metadata={"channel": "app"}) for each in new])
            self.sent += new

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def published(topics: Topics) -> dict[UUID, StatusRecord | None]:
    """The last status of each order."""
    return {
        UUID((record.key or b"").decode()): decode_status(record.value) if record.value else None
        for record in topics.consume_all("order-status")
    }


def test_a_restore_to_an_earlier_moment_under_load(
    postgres: ArchivedPostgres, start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics
) -> None:
    dsn = f"postgresql://creditstream@127.0.0.1:{postgres.port}/creditstream"
    own = {"postgres_dsn": dsn, "postgres_replica_dsn": dsn, "retention_months": 12, "under_review_after": 0.2}
    environ = {**worker_environ, **{f"CREDITSTREAM_{name.upper()}": str(value) for name, value in own.items()}}
    asyncio.run(migrate(dsn))
    postgres.back_up()
    workers = [start_worker(ready=False, **own) for _ in range(2)]
    old, erased = [uuid4() for _ in range(5)], [uuid4() for _ in range(4)]
    topics.send_lines("orders", [order_line(each, created_at=_OLD) for each in old])
    topics.send_lines("orders", [order_line(each, customer_id="c-gone") for each in erased[:2]])
    settle(environ, 7)
    load = Load(topics)
    try:
        # A row's version that is higher is no lost commit, whatever its time.
        ask(dsn, "UPDATE orders SET updated_at = created_at, version = version + 1 WHERE created_at < '2025-03-01'")
        wait_for(lambda: ask(dsn, _DECIDED) >= [(100,)], 60, "orders are decided")
        postgres.mark("before")
        topics.send_lines("orders", [order_line(each, customer_id="c-gone") for each in erased[2:]])
        seen = ask(dsn, _DECIDED)[0][0]
        workers[0].kill()
        assert run_to_end(environ, faust_command("retention")).returncode == 0
        wait_for(lambda: ask(dsn, _DECIDED) >= [(seen + 100,)], 60, "orders are decided by the other worker")
        wait_for(lambda: _count(dsn, erased) == 4, 60, "the customer's orders are decided")
        assert run_to_end(environ, faust_command("forget"), given="c-gone\n").returncode == 0
        postgres.come_back("before")
    finally:
        load.end()
    told = published(topics)
    assert len(ask(dsn, "SELECT order_id FROM orders")) < len([each for each in told.values() if each])
    workers.append(start_worker(ready=False, **own))
    done = faust(environ, "restore")
    assert done.returncode == 0, done
    settle(environ, 9 + len(load.sent))
    for worker in workers[1:]:
        worker.wait_until_ready()
    rows = dict(ask(dsn, "SELECT order_id::text, status || version || updated_at::text || customer_id FROM orders"))
    now = published(topics)
    for order_id, before in told.items():
        after = now[order_id]
        if before is None or before.status != "under_review":
            assert after == before, "what was published is as it was"
        else:
            assert after is not None and after.version >= before.version
    assert {str(each) for each in load.sent} <= rows.keys(), "no order is lost"
    assert ask(dsn, "SELECT count(*) FROM orders WHERE customer_id = 'c-gone'") == [(0,)]
    assert ask(dsn, "SELECT count(*) FROM orders WHERE customer_id = %s", (FORGOTTEN_CUSTOMER,)) == [(4,)]
    assert not {str(each) for each in old} & rows.keys(), "what went with its month is gone"
    [(no_metadata,)] = ask(dsn, "SELECT count(*) FROM orders WHERE metadata = '{}' AND customer_id = 'c-102'")
    assert no_metadata == 0
    audited(environ)


def _count(dsn: str, orders: list[UUID]) -> int:
    ids = "{" + ",".join(map(str, orders)) + "}"
    [(count,)] = ask(dsn, f"{_DECIDED} AND order_id = ANY (%s::uuid[])", (ids,))
    return int(count)
