"""What the store does when PostgreSQL fails, and when a row is at fault."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiopg
import msgspec
import pytest
import uvloop

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable, StoreUseless
from creditstream.order.ports import Proposal, Refused
from creditstream.store import database as database_module
from creditstream.store.database import Database
from creditstream.store.orders import PostgresStore
from creditstream.store.pool import Pool
from creditstream.store.proposals import MAX_BYTES
from creditstream.store.queries import query
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.status import Row

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The worker runs on uvloop, commands may run on asyncio's own loop, and a broken socket is not alike on both."""

    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario)

    return run


@asynccontextmanager
async def _store_and_admin(dsn: str) -> AsyncIterator[tuple[PostgresStore, Any]]:
    """The store, and a cursor of another session."""
    store = await PostgresStore.open(Settings(postgres_dsn=Secret(dsn)))
    async with aiopg.connect(dsn, enable_hstore=False) as connection, connection.cursor() as cursor:
        yield store, cursor
        await store.close()


async def _others(cursor: Any, function: str = "") -> int:
    """How many other sessions this database has; `function` (pg_terminate_backend …) is applied to each."""
    await cursor.execute(
        f"SELECT count({function}(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    (count,) = await cursor.fetchone()
    return int(count)


async def _until_blocked(cursor: Any) -> None:
    """Until a session of this database waits for a lock."""
    blocked = 0
    while not blocked:
        await cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (blocked,) = await cursor.fetchone()


def test_all_connections_cut_while_idle(run: Run, database: Any) -> None:
    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, admin):
            for _ in range(3):
                await asyncio.gather(*(store.commit([a_proposal()]) for _ in range(8)))
                assert await _others(admin, "pg_terminate_backend") >= 2
                await _settles(store, a_proposal())

    run(scenario())


async def _settles(store: PostgresStore, proposal: Proposal) -> None:
    """One StoreUnavailable for each connection at most, then it works."""
    for _ in range(Settings().postgres_pool + 1):
        try:
            answers = await store.commit([proposal])
        except StoreUnavailable:
            continue
        assert isinstance(answers[proposal.order.order_id], Row)
        return
    raise AssertionError("the pool does not recover")


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_cut_or_timed_out_while_asking(run: Run, database: Any, function: str) -> None:
    """A statement time-out is such a cancel. aiopg makes a CancelledError of it, which would end the caller."""

    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, admin):
            proposal = a_proposal()
            await admin.execute("BEGIN; LOCK TABLE order_keys IN ACCESS EXCLUSIVE MODE")
            commit = asyncio.create_task(store.commit([proposal]))
            await _until_blocked(admin)
            await _others(admin, function)
            with pytest.raises(StoreUnavailable):
                await commit
            await admin.execute("ROLLBACK")
            await _settles(store, proposal)

    run(scenario())


def test_a_cancelled_caller_is_cancelled_and_the_store_goes_on(run: Run, database: Any) -> None:
    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, admin):
            proposal = a_proposal()
            await admin.execute("BEGIN; LOCK TABLE order_keys IN ACCESS EXCLUSIVE MODE")
            commit = asyncio.create_task(store.commit([proposal]))
            await _until_blocked(admin)
            commit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await commit
            await admin.execute("ROLLBACK")
            await _settles(store, proposal)

    run(scenario())


def test_closing_ends_what_is_being_asked(run: Run, database: Any) -> None:
    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, admin):
            await admin.execute("BEGIN; LOCK TABLE order_keys IN ACCESS EXCLUSIVE MODE")
            commit = asyncio.create_task(store.commit([a_proposal()]))
            await _until_blocked(admin)
            await store.close()
            with pytest.raises(StoreUnavailable):
                await commit
            with pytest.raises(StoreUnavailable):
                await store.commit([a_proposal()])

    run(scenario())


def test_a_server_that_never_answers(run: Run, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, admin):
            proposal = a_proposal()
            await admin.execute("BEGIN; LOCK TABLE order_keys IN ACCESS EXCLUSIVE MODE")
            with monkeypatch.context() as patch, pytest.raises(StoreUnavailable, match="no answer in time"):
                patch.setattr(database_module, "_ANSWER_TIMEOUT", 0.05)
                await store.commit([proposal])
            await admin.execute("ROLLBACK")
            await _settles(store, proposal)

    run(scenario())


def test_the_pool_is_the_bound_on_the_databases_load(run: Run, database: Any) -> None:
    async def scenario() -> None:
        store = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn), postgres_pool=2))
        async with aiopg.connect(database.dsn, enable_hstore=False) as connection, connection.cursor() as cursor:
            await asyncio.gather(*(store.commit([a_proposal()]) for _ in range(12)))
            assert await _others(cursor) == 2
        await store.close()

    run(scenario())


def test_refused_connections_leave_nothing_behind(run: Run) -> None:
    """aiopg's own left a descriptor registered in uvloop: whoever got that number next had the error."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="refused"):
                    await Database.open(Secret("postgresql://u:hush@127.0.0.1:1/db"), size=1)
                with socket.socket() as somebody:
                    somebody.setblocking(False)
                    await loop.sock_connect(somebody, address)

    run(scenario())


def test_a_database_that_is_of_no_use_is_closed_again(run: Run, database: Any) -> None:
    """Else each attempt would use up one of the server's connections."""

    async def scenario() -> None:
        async with aiopg.connect(database.dsn, enable_hstore=False) as connection, connection.cursor() as cursor:
            await cursor.execute("ALTER TABLE order_keys RENAME TO away")
            for _ in range(3):
                with pytest.raises(StoreUseless, match="has no table of ours here"):
                    await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
            await _until_alone(cursor)

    run(scenario())


async def _until_alone(cursor: Any) -> None:
    async def alone() -> bool:
        return await _others(cursor) == 0

    await wait_for_async(alone, what="all other sessions have ended")


_SETTINGS = "SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('timezone'),\
 current_setting('transaction_isolation'), %(x)s)"


def test_every_statement_has_our_settings_whatever_the_session_has(
    run: Run, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a role, a RESET or another client of a pooler left there does not count, and nothing is left there."""
    monkeypatch.setattr(database_module, "query", {"settings": query("settings"), "mine": _SETTINGS}.__getitem__)
    foreign = (
        "statement_timeout = 9000; SET timezone = 'Asia/Tokyo'; SET default_transaction_isolation = 'serializable'"
    )

    async def scenario() -> None:
        store = Database(Pool(Secret(database.dsn), 1))
        for spoil in ("RESET ALL", f"SET {foreign}", "DISCARD ALL"):
            assert await store.value("mine", {"x": spoil}) == f"10s UTC read committed {spoil}"
            async with store._pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute(f"SHOW statement_timeout; {spoil}" if spoil.startswith("SET") else spoil)
                await cursor.execute("SHOW statement_timeout")
                assert await cursor.fetchone() == ("9s" if spoil.startswith("SET") else "0",)
        await store.close()

    run(scenario())


def test_a_database_that_is_away_or_lacks_the_tables(run: Run, database: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(StoreUnavailable, match="refused"):
            await PostgresStore.open(Settings(postgres_dsn=Secret("postgresql://u:hush@127.0.0.1:1/db")))
        async with _store_and_admin(database.dsn) as (store, admin):
            await admin.execute("ALTER TABLE order_keys RENAME TO away")
            with pytest.raises(StoreUnavailable, match="UndefinedTable 42P01"):
                await store.commit([a_proposal()])
            with pytest.raises(StoreUseless, match="has no table of ours here"):
                await store.ping()
            await admin.execute("ALTER TABLE away RENAME TO order_keys")
            await store.ping()
            await _settles(store, a_proposal())

    run(scenario())


def test_a_bad_dsn_stops_the_start_and_does_not_show() -> None:
    with pytest.raises(StartError) as caught:
        asyncio.run(PostgresStore.open(Settings(postgres_dsn=Secret("host=x pass word=hush"))))
    assert str(caught.value) == "bad setting CREDITSTREAM_POSTGRES_DSN: not a PostgreSQL connection string"
    assert caught.value.__suppress_context__


BAD_FIELDS = [
    ({"term_months": -1}, "constraint_violation"),
    ({"term_months": 2**40}, "invalid_data"),
    ({"customer_id": "a\0"}, "invalid_data"),
    ({"customer_id": "a\ud800"}, "invalid_data"),
    ({"amount": Decimal("1e30")}, "invalid_data"),
    ({"created_at": datetime(2026, 11, 23, 12)}, None),
    ({"metadata": {"n": float("nan")}}, None),
]


@pytest.mark.parametrize(("fields", "reason"), BAD_FIELDS)
def test_a_bad_row_is_found_and_the_others_commit(
    run: Run, database: Any, fields: dict[str, Any], reason: str | None
) -> None:
    async def scenario() -> None:
        bad = Proposal(an_order(**fields), b"0" * 16, a_proposal().decision)
        good = [a_proposal() for _ in range(12)]
        async with _store_and_admin(database.dsn) as (store, _):
            answers = dict(await store.commit([*good, bad]))
        answer = answers.pop(bad.order.order_id)
        assert all(isinstance(row, Row) for row in answers.values()) and len(answers) == 12
        assert (answer.reason if isinstance(answer, Refused) else None) == reason

    run(scenario())


def test_an_order_that_a_lenders_own_trigger_refuses_is_found_and_the_others_commit(run: Run, database: Any) -> None:
    async def scenario() -> None:
        good, bad = [a_proposal() for _ in range(6)], a_proposal(an_order(customer_id="c-bad"))
        async with _store_and_admin(database.dsn) as (store, admin):
            await admin.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN IF NEW.customer_id = 'c-bad' THEN RAISE EXCEPTION 'not him'; END IF; RETURN NEW; END$$"
            )
            await admin.execute("CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse()")
            answers = dict(await store.commit([*good, bad]))
        assert answers.pop(bad.order.order_id) == Refused("constraint_violation", "RaiseException P0001")
        assert all(isinstance(row, Row) for row in answers.values()) and len(answers) == len(good)

    run(scenario())


def test_a_bad_change_of_a_known_row_is_refused_too(run: Run, database: Any) -> None:
    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, _):
            orders = [an_order() for _ in range(5)]
            await store.commit([a_proposal(order) for order in orders])
            decision = a_proposal().decision
            changes = [a_proposal(order, msgspec.structs.replace(decision, reason="x")) for order in orders]
            changes[3] = a_proposal(orders[3], msgspec.structs.replace(decision, reason="x", score=5_000))
            answers = await store.commit(changes)
            assert answers[orders[3].order_id] == Refused(
                "constraint_violation", "CheckViolation 23514 on orders_score_check"
            )
            assert sum(isinstance(row, Row) and row.version == 2 for row in answers.values()) == 4

    run(scenario())


@pytest.mark.parametrize("year", [2000, 2031])
def test_a_month_without_a_partition_gets_one(run: Run, database: Any, year: int) -> None:
    async def scenario() -> None:
        order = an_order(created_at=datetime(year, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC))
        async with _store_and_admin(database.dsn) as (store, admin):
            answers = await store.commit([a_proposal(), a_proposal(order)])
            assert all(isinstance(row, Row) for row in answers.values())
            await admin.execute(f"SELECT order_id::text FROM orders_{year}_01")
            assert await admin.fetchall() == [(str(order.order_id),)]

    run(scenario())


def test_a_row_that_was_removed_does_not_come_back(run: Run, database: Any) -> None:
    async def scenario() -> None:
        proposal = a_proposal()
        async with _store_and_admin(database.dsn) as (store, admin):
            await store.commit([proposal])
            await admin.execute("DELETE FROM orders")
            answers: Any = await store.commit([proposal])
            assert answers[proposal.order.order_id].reason == "row_removed"
            found: Any = await store.find([UUID(int=1), proposal.order.order_id])
            assert found == answers, "it is known, and what was never there is not"

    run(scenario())


def test_large_orders_are_committed_a_few_at_a_time(run: Run, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 of the largest are gigabytes: no statement has that many, and they would be tried again for ever."""
    sizes: list[int] = []

    async def scenario() -> None:
        async with _store_and_admin(database.dsn) as (store, _):
            value = store._database.value

            async def counted(name: str, parameters: dict[str, Any] | None = None, **options: Any) -> Any:
                sizes.append(len((parameters or {}).get("batch", "")))
                return await value(name, parameters, **options)

            monkeypatch.setattr(store._database, "value", counted)
            large = [a_proposal(an_order(metadata={"text": "x" * (MAX_BYTES // 4)})) for _ in range(5)]
            largest = a_proposal(an_order(metadata={"text": "x" * MAX_BYTES}))
            batch = [*large, largest, a_proposal()]
            for _ in range(2):  # the second time they are known
                answers = await store.commit(batch)
                assert all(isinstance(answers[given.order.order_id], Row) for given in batch)

    run(scenario())
    assert max(sizes) < MAX_BYTES + 1_024, "the largest order goes alone"
