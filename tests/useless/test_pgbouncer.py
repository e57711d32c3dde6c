"""PgBouncer in transaction mode: workers and `migrate` work through it and leave nothing behind; what needs a session
of its own says so."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, closing

import psycopg2
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.store.maintenance import only_one
from creditstream.store.migrations import migrate, shipped
from devtools.programs import RiskApiProcess
from tests.conftest import StartWorker
from tests.support.database import Database, ask, with_database
from tests.support.kafka import Topics
from tests.support.pgbouncer import POOL, PgBouncer
from tests.support.product import audited, faust, order_line, settle

#: What a statement of somebody else finds on each connection of the server that PgBouncer keeps.
_LEFT = """
    SELECT current_setting('statement_timeout') || current_setting('lock_timeout') || current_setting('timezone')
        || current_setting('idle_in_transaction_session_timeout')
"""
_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
ORDERS = 200


def left_behind(bouncer: PgBouncer, database: str) -> tuple[set[object], object]:
    """Settings of every connection that PgBouncer keeps to this database, and the locks that are held in it."""
    with ExitStack() as opened:
        cursors = []
        for _ in range(POOL):  # each in a transaction of its own, and so on a connection of its own
            connection = opened.enter_context(closing(psycopg2.connect(bouncer.dsn(database))))
            cursors.append(opened.enter_context(connection.cursor()))
            cursors[-1].execute(_LEFT)
        found = {(cursor.fetchone() or ())[0] for cursor in cursors}
        cursors[0].execute(_LOCKS)
        return found, (cursors[0].fetchone() or ())[0]


def test_migrate_leaves_neither_a_lock_nor_a_setting_on_others_connections(
    bouncer: PgBouncer, database: Database
) -> None:
    clean = left_behind(bouncer, database.name)
    ask(database.dsn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    dsn = bouncer.dsn(database.name)

    async def many() -> list[list[str]]:
        return await asyncio.gather(*(migrate(dsn) for _ in range(6)))

    applied = asyncio.run(many())
    assert sorted(name for each in applied for name in each) == [migration.name for migration in shipped()]
    assert left_behind(bouncer, database.name) == clean == ({"00UTC0"}, 0)


def test_orders_are_decided_and_audited_through_it(
    bouncer: PgBouncer,
    database: Database,
    topics: Topics,
    risk_api: RiskApiProcess,
    start_worker: StartWorker,
    worker_environ: Mapping[str, str],
) -> None:
    clean = left_behind(bouncer, database.name)
    environ = {**worker_environ, "CREDITSTREAM_POSTGRES_DSN": bouncer.dsn(database.name)}
    worker = start_worker(postgres_dsn=bouncer.dsn(database.name))
    topics.send_lines("orders", [order_line(f"00000000-0000-4000-8000-{n:012}") for n in range(ORDERS)])
    settle(environ, ORDERS)
    report = audited(environ)
    assert (report["orders"], report["under_review"]) == (ORDERS, 0)
    assert risk_api.journal()["calls"] == ORDERS
    assert left_behind(bouncer, database.name) == clean
    assert "Traceback" not in worker.log()
    for command in (["retention"], ["forget", "--customer", "c-102"]):
        done = faust({**environ, "CREDITSTREAM_RETENTION_MONTHS": "1"}, *command)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert f"`{command[0]}` needs a session of its own" in done.stderr
        assert "the server's own address" in done.stderr
    assert left_behind(bouncer, database.name) == clean


def test_a_command_that_needs_a_session_of_its_own_takes_no_lock_there(bouncer: PgBouncer, database: Database) -> None:
    async def work(dsn: str) -> None:
        async with only_one(Settings(postgres_dsn=Secret(dsn)), "grow"):
            pass

    for name in (database.name, "postgres"):
        with pytest.raises(StartError, match=r"^`grow` needs a session of its own"):
            asyncio.run(work(bouncer.dsn(name)))
        assert left_behind(bouncer, name)[1] == 0
    asyncio.run(work(with_database(database.dsn, "postgres")))
