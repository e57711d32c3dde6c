"""What PostgreSQL itself wrote down: the dashboard's questions reach the replica, and none of them the primary."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from creditstream.store.migrations import migrate
from creditstream.store.reads import APPLICATION_NAME
from devtools.stack import Ports, Stack
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import ask as ask_database
from tests.support.kafka import Topics
from tests.support.product import order_line, settle
from tests.support.servers import LOCAL
from tests.support.web import Stream, ask

_WRITTEN_DOWN = ("ALTER SYSTEM SET log_statement = 'all'", "ALTER SYSTEM SET log_line_prefix = '%a@%d '")
#: Its name, the counts, the lists.
_THE_DASHBOARDS = (f"{APPLICATION_NAME}@", "date_trunc('day', now(), 'UTC')", "ORDER BY created_at DESC, order_id DESC")


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Stack]:
    """A primary and a replica of this test's own, which log every statement and who sent it."""
    only = {"postgres", "replica"}
    stack = Stack(tmp_path / "stack", Ports.free(), cache=LOCAL / "cache", only=only, brief=True)
    try:
        stack.up()
        for dsn in _dsns(stack):
            for statement in (*_WRITTEN_DOWN, "SELECT pg_reload_conf()"):
                ask_database(dsn, statement)
        yield stack
    finally:
        stack.clean()


def _dsns(stack: Stack) -> tuple[str, str]:
    values = stack.environment()
    return values["CREDITSTREAM_POSTGRES_DSN"], values["CREDITSTREAM_POSTGRES_REPLICA_DSN"]


def _log(stack: Stack, name: str) -> str:
    [service] = [each for each in stack.services if each.name == name]
    return service.files.log_file.read_text(errors="replace")


def test_the_primarys_statement_log_shows_no_dashboard_query(
    logged: Stack, start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str]
) -> None:
    dsn, replica_dsn = _dsns(logged)
    asyncio.run(migrate(dsn))
    worker = start_worker(postgres_dsn=dsn, postgres_replica_dsn=replica_dsn)
    ids = [str(uuid4()) for _ in range(5)]
    topics.send_lines("orders", [order_line(each, created_at=datetime.now(UTC).isoformat()) for each in ids])
    settle(worker_environ, len(ids))
    wait_for(lambda: len(ask(f"{worker.url}/orders").json["orders"]) == len(ids), 60, "the replica has all orders")
    with Stream(worker.url) as page:
        next(page.events)
        paths = ("/", "/stats", "/orders?status=approved", "/orders?customer=c-1&limit=2", f"/orders/{ids[0]}")
        for path in paths:
            assert ask(worker.url + path).status == 200, path
    primary, replica = _log(logged, "postgres"), _log(logged, "replica")
    assert "INSERT INTO orders" in primary, "statements are logged"
    assert [text in replica for text in _THE_DASHBOARDS] == [True, True, True]
    assert [text in primary for text in _THE_DASHBOARDS] == [False, False, False]
