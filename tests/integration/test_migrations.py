"""Migrations: once, in order, in one transaction each, and never changed afterwards."""

import asyncio
import itertools
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable
from creditstream.store import migrations
from creditstream.store.migrations import Migration, migrate, pending, shipped
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from schemas.decision import Decision

NAMES = [migration.name for migration in shipped()]


def _ask(dsn: str, sql: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def empty(database: Any) -> str:
    _ask(database.dsn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return str(database.dsn)


def test_an_empty_database_gets_all_and_then_nothing(empty: str) -> None:
    assert asyncio.run(pending(empty)) == NAMES
    assert _ask(empty, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]
    assert asyncio.run(migrate(empty)) == NAMES == sorted(NAMES)
    assert asyncio.run(migrate(empty)) == []
    assert asyncio.run(pending(empty)) == []


def test_two_at_once_apply_each_once(empty: str) -> None:
    async def both() -> list[list[str]]:
        return await asyncio.gather(*(migrate(empty) for _ in range(4)))

    applied = asyncio.run(both())
    assert sorted(itertools.chain(*applied)) == NAMES
    assert all(each == sorted(each) for each in applied)


def test_whoever_waits_for_another_says_so_and_a_lock_that_is_left_behind_has_a_name(
    database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The release before took a lock of the session, which PgBouncer kept: the next one hung without a word."""
    monkeypatch.setattr(migrations, "_LOCK_TRIES", 2)
    with closing(psycopg2.connect(database.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('creditstream'), hashtext('migrations')), pg_backend_pid()")
        holder = (cursor.fetchone() or ())[1]
        with pytest.raises(StartError, match=f"another `migrate` does not end: is PostgreSQL's process {holder} one"):
            asyncio.run(migrate(database.dsn))
    assert caplog.messages == [f"waiting for another `migrate`: PostgreSQL's process {holder} holds its lock"]
    assert asyncio.run(migrate(database.dsn)) == []


def test_this_month_and_the_next_two_have_partitions(empty: str) -> None:
    asyncio.run(migrate(empty))
    expected = _ask(
        empty,
        "SELECT to_char((now() AT TIME ZONE 'UTC') + make_interval(months => n), '\"orders_\"YYYY_MM')"
        " FROM generate_series(0, 2) AS n ORDER BY 1",
    )
    there = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'orders'::regclass ORDER BY 1"
    assert _ask(empty, there) == expected


def test_months_are_cut_in_utc_whatever_the_session_says(database: Any) -> None:
    dsn = make_dsn(database.dsn, options="-c timezone=America/Sao_Paulo")
    assert _ask(dsn, "SELECT ensure_orders_partition('2010-02-28 23:59:59.999+00')") == [(True,)]
    assert _ask(dsn, "SELECT ensure_orders_partition('2010-02-01 00:00+00')") == [(False,)]
    bounds = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'orders_2010_02'"
    assert _ask(make_dsn(database.dsn, options="-c timezone=UTC"), bounds) == [
        ("FOR VALUES FROM ('2010-02-01 00:00:00+00') TO ('2010-03-01 00:00:00+00')",)
    ]


def test_a_changed_migration_is_refused(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [shipped()[0]._replace(text="SELECT 1"), *shipped()[1:]]
    monkeypatch.setattr(migrations, "shipped", lambda: changed)
    for command in (migrate, pending):
        with pytest.raises(StartError, match=f"^migration {NAMES[0]} was changed after it was applied: add a new one"):
            asyncio.run(command(database.dsn))


def test_a_failing_migration_leaves_nothing(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    late = [
        Migration("9998_good.sql", "CREATE TABLE good ()"),
        Migration("9999_bad.sql", "CREATE TABLE bad (); SELECT 1/0"),
    ]
    monkeypatch.setattr(migrations, "shipped", lambda: [*shipped(), *late])
    with pytest.raises(StartError, match=r"^migration 9999_bad\.sql does not fit the data: DivisionByZero"):
        asyncio.run(migrate(database.dsn))
    assert _ask(database.dsn, "SELECT to_regclass('good')::text, to_regclass('bad')::text") == [("good", None)]
    assert asyncio.run(pending(database.dsn)) == ["9999_bad.sql"]


def test_what_a_newer_version_applied_is_left_alone(database: Any) -> None:
    _ask(database.dsn, "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_newer.sql', 'x')")
    assert asyncio.run(migrate(database.dsn)) == []
    assert asyncio.run(pending(database.dsn)) == []


def test_a_database_that_is_away() -> None:
    for command in (migrate, pending):
        with pytest.raises(StoreUnavailable):
            asyncio.run(command("postgresql://u:hush@127.0.0.1:1/db"))
        with pytest.raises(StartError) as caught:
            asyncio.run(command("hush hush"))
        assert "hush" not in str(caught.value)


def test_pedidos_speaks_the_users_language(database: Any) -> None:
    decision = Decision(status="approved", reason="score_above_threshold", reasons=("bom",), score=712)
    decision_orders = {
        "Em análise": a_proposal(),
        "Aprovado": a_proposal(an_order(amount=Decimal("0.10")), decision),
        "Reprovado": a_proposal(decision=Decision(status="rejected", reason="score_below_threshold", score=1)),
    }

    async def commit() -> None:
        store = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
        await store.commit(list(decision_orders.values()))
        await store.close()

    asyncio.run(commit())
    rows = _ask(database.dsn, 'SELECT "Status_Pedido", "ID_Pedido"::text FROM pedidos')
    assert dict(rows) == {word: str(proposal.order.order_id) for word, proposal in decision_orders.items()}
    connection = psycopg2.connect(database.dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM pedidos WHERE \"Status_Pedido\" = 'Aprovado'")
        columns = [column.name for column in cursor.description or ()]
        row = dict(zip(columns, cursor.fetchone() or (), strict=True))
    connection.close()
    assert columns[0] == "ID_Pedido" and columns[-1] == "Metadata"
    assert row["ID_Cliente"] == "c-102" and row["Metadata"] == {"channel": "app"}
    assert row["Detalhes_do_Pedido"] == {"valor": 0.1, "prazo_meses": 12, "produto": "personal_loan"}
    assert row["Resultado_Avaliacao"]["score"] == 712 and row["Resultado_Avaliacao"]["motivos_do_bureau"] == ["bom"]
    assert row["Data_Criacao"].astimezone(UTC) == datetime(2026, 11, 23, 12, tzinfo=UTC) < row["Data_Atualizacao"]
