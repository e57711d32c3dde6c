"""`retention` on a real server beside workers, the release before, other commands and changes of the schema."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

from creditstream.errors import StartError
from creditstream.operations.forget.erasure import Forget
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention import drop_months
from creditstream.store import maintenance
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.programs import faust_command
from devtools.wait import wait_for_async
from tests.support.database import Database
from tests.support.old_months import (
    DETACHED,
    MONTH,
    PARTITIONS,
    TABLES,
    all_stand,
    broken_off,
    of_old,
    old_orders,
    run_retention,
    settings_of,
    store_of,
    until_committed,
    written_long_ago,
)
from tests.support.product import run_to_end

_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
#: As the release before asks and says it.
_BEGUN_THERE = "SELECT count(*) FROM dropped_months WHERE dropped_at IS NULL"
_BEGIN_THERE = """
INSERT INTO dropped_months (month, orders, partition) VALUES ('2024-02-01T00:00Z', 4, 'orders_2024_02'::regclass)
ON CONFLICT (month) DO UPDATE SET
    orders = dropped_months.orders + excluded.orders, partition = excluded.partition, begun_at = now(),
    dropped_at = NULL, published_at = NULL
"""


@pytest.fixture(autouse=True)
def without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(*_given: object) -> int:
        return 0

    monkeypatch.setattr(drop_months, "_publish", publish)


async def _until_waits(database: Database, count: int) -> None:
    async def waits() -> bool:
        return database.fetch(_WAITS) == [(count,)]

    await wait_for_async(waits, 30.0, f"{count} wait for a lock")


async def _left_detached(database: Database, store: PostgresStore, late: int = 0) -> list[Any]:
    """Orders of a month that a run has detached that was killed then. `late` of them were written since the count."""
    old, new = await old_orders(database, store), of_old(late)
    assert not await broken_off(database, store, new, DETACHED)
    assert not await all_stand(store, old), "it is detached"
    return [*old, *new]


def test_the_month_is_made_while_its_old_table_is_counted(database: Database) -> None:
    """The name is the new table's by then: to count by it would be to count no order at all."""

    async def scenario() -> None:
        async with store_of(database) as store:
            orders = await _left_detached(database, store, late=1)
            with closing(psycopg2.connect(database.dsn)) as worker:
                worker.cursor().execute("SELECT ensure_orders_partition('2024-02-10T12:00Z')")
                run = asyncio.create_task(run_retention(database))
                await _until_waits(database, 1)
                worker.commit()
            done = await run
            assert (done.months, done.kept) == ([], {MONTH: 1})
            assert await all_stand(store, orders)

    asyncio.run(scenario())


def test_the_month_is_made_before_its_old_table_is_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            await _left_detached(database, store)
            new = of_old()

            async def before(session: Maintenance) -> None:
                cursor: Any = session._cursor
                execute = cursor.execute

                async def drops(statement: str, *given: Any) -> None:
                    if statement.startswith("DROP TABLE"):
                        database.fetch("SELECT ensure_orders_partition('2024-02-10T12:00Z')")
                        await until_committed(store, new)
                    await execute(statement, *given)

                cursor.execute = drops

            assert (await run_retention(database, before)).months == [MONTH]
            assert await all_stand(store, new)

    asyncio.run(scenario())


@pytest.mark.parametrize("was_dropped", [False, True], ids=["", "dropped before"])
def test_the_release_before_takes_a_kept_month_for_no_begun_one_and_can_begin_it(
    database: Database, was_dropped: bool
) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            if was_dropped:
                await old_orders(database, store)
                assert (await run_retention(database)).months == [MONTH]
            orders, late = await old_orders(database, store), of_old()

            async def write(_session: Maintenance) -> None:
                await store.commit(late)

            assert (await run_retention(database, write)).kept == {MONTH: 1}
            assert database.fetch(_BEGUN_THERE) == [(0,)]
            assert database.fetch("SELECT count(*) FROM dropped_months") == [(int(was_dropped),)]

            # It begins to drop it later and is killed behind the detach: this one goes on with it.
            for is_written_to in (True, False):
                database.fetch(_BEGIN_THERE)
                database.fetch("ALTER TABLE orders DETACH PARTITION orders_2024_02 CONCURRENTLY")
                done = await run_retention(database)
                assert done.kept == ({MONTH: 1} if is_written_to else {})
                assert await all_stand(store, [*orders, *late]) is is_written_to
                assert database.fetch(_BEGUN_THERE) == [(0,)]
                written_long_ago(database)
            assert database.fetch(TABLES) == [(0,)]
            # What was dropped is known, whatever the release before has forgotten of it: the audit looks it up.
            assert database.fetch("SELECT count(dropped_at) FROM dropped_months") == [(1,)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "is_made_again"),
    [
        ("ADD COLUMN channel text NOT NULL DEFAULT 'web'", False),
        ("DROP COLUMN metadata CASCADE", False),
        ("ADD COLUMN cents bigint GENERATED ALWAYS AS ((amount * 100)::bigint) STORED", False),
        ("ADD COLUMN cents bigint GENERATED ALWAYS AS ((amount * 100)::bigint) STORED", True),
    ],
)
def test_a_month_is_kept_whose_columns_are_others_by_then(database: Database, change: str, is_made_again: bool) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            if is_made_again:  # then the column is in both, and cannot be written
                database.fetch(f"ALTER TABLE orders {change}")
            orders = await _left_detached(database, store, late=1)
            if is_made_again:
                await until_committed(store, of_old())
            else:
                database.fetch(f"ALTER TABLE orders {change}")
            assert (await run_retention(database)).kept == {MONTH: 1}
            ids = "{" + ",".join(str(each.order.order_id) for each in orders) + "}"
            assert database.fetch("SELECT count(*) FROM orders WHERE order_id = ANY (%s::uuid[])", (ids,)) == [(4,)]
            assert database.fetch(PARTITIONS) == [("orders_2024_02",)]
            assert database.fetch(TABLES) == [(1,)]

    asyncio.run(scenario())


def test_a_month_that_cannot_be_kept_keeps_no_other_one(database: Database) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            other = a_proposal(an_order(created_at=datetime(2024, 5, 10, tzinfo=UTC)))
            await store.commit([other])
            await _left_detached(database, store, late=1)
            database.fetch("ALTER TABLE orders ADD CONSTRAINT newer CHECK (created_at >= '2024-03-01')")
            done = await run_retention(database)
            assert (done.months, done.kept, list(done.failed)) == (["2024-05"], {}, [MONTH])
            assert "newer" in done.failed[MONTH]
            assert database.fetch(TABLES) == [(1,)], "nothing of it is lost"
            database.fetch("ALTER TABLE orders DROP CONSTRAINT newer")
            assert (await run_retention(database)).kept == {MONTH: 1}

    asyncio.run(scenario())


def test_a_locked_month_is_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """And if nobody lets go, one line says so."""

    async def scenario() -> None:
        async with store_of(database) as store:
            await store.commit([a_proposal(an_order(created_at=datetime(2024, 5, 10, tzinfo=UTC)))])
            await old_orders(database, store)
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute("LOCK TABLE orders_2024_05 IN ACCESS EXCLUSIVE MODE")
                with monkeypatch.context() as patched:
                    patched.setattr(maintenance, "_LOCK_TRIES", 1)
                    with pytest.raises(StartError) as raised:
                        await run_retention(database)
                    assert "others hold a lock" in str(raised.value) and "\n" not in str(raised.value)
                run = asyncio.create_task(run_retention(database))
                for waiting in (1, 0, 1):
                    await _until_waits(database, waiting)
            assert (await run).months == [MONTH, "2024-05"]

    asyncio.run(scenario())


def test_beside_a_default_partition_others_wait_behind_it_for_a_moment_only(database: Database) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            await old_orders(database, store)
            database.fetch("CREATE TABLE others PARTITION OF orders DEFAULT")
            async with only_one(settings_of(database), "retention") as session:
                month = {"month": "2024-02-01T00:00Z"}
                await session.value("begin_drop", month | {"orders": 3})
                statement = await session.value("detach_statement", month)
            assert statement == "SET LOCAL lock_timeout = '100ms'; ALTER TABLE orders DETACH PARTITION orders_2024_02"

    asyncio.run(scenario())


@pytest.mark.parametrize("number", ["'mine'::regclass", "0"], ids=["another table's", "no table's"])
def test_a_number_that_means_another_table_drops_nothing(database: Database, number: str) -> None:
    """As after a dump and restore of a database whose month was detached."""

    async def scenario() -> None:
        async with store_of(database) as store:
            orders = await _left_detached(database, store, late=1)
            database.fetch("CREATE TABLE mine (LIKE orders)")
            database.fetch(f"UPDATE dropped_months SET partition = {number}")
            done = await run_retention(database)
            assert (done.months, done.kept, list(done.failed)) == ([], {}, [MONTH])
            [(name,)] = database.fetch("SELECT relname FROM pg_class WHERE relname ~ '2024_02' AND relkind = 'r'")
            assert name in done.failed[MONTH]
            assert database.fetch("SELECT to_regclass('mine') IS NOT NULL") == [(True,)]

            database.fetch(f"UPDATE dropped_months SET partition = '{name}'::regclass")
            assert (await run_retention(database)).kept == {MONTH: 1}
            assert await all_stand(store, orders)

    asyncio.run(scenario())


def test_nobody_is_forgotten_while_a_month_may_come_back(database: Database) -> None:
    def forget() -> list[str]:
        done = run_to_end({"CREDITSTREAM_POSTGRES_DSN": database.dsn}, faust_command("forget"), given="c-gone\n")
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr.splitlines()

    async def scenario() -> None:
        settings = settings_of(database)
        async with store_of(database) as store:
            await _left_detached(database, store)
            [line] = await asyncio.to_thread(forget)
            assert "run `retention` to its end first" in line
            assert (await run_retention(database)).months == [MONTH]
            with progress_bars(shown=False) as bars:
                async with only_one(settings, "retention"), only_one(settings, "forget") as session:
                    refusal = await Forget(settings, session, "c-gone", bars).refusal()
                    assert refusal is not None and "`retention` or `restore` is at work" in refusal
                async with only_one(settings, "forget") as session:
                    assert await Forget(settings, session, "c-gone", bars).refusal() is None
                    with pytest.raises(StartError, match="another `retention` is at work"):
                        async with only_one(settings, "retention"):
                            pass

    asyncio.run(scenario())
