"""The store asks with each statement whether what it knows of is still there, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StoreTakenBack, StoreUseless
from creditstream.order.ports import Mark
from creditstream.store.database import Database as Pooled
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from schemas.decision import Decision
from tests.support.database import Database

_APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
_LATER = datetime(2030, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def _store(database: Database) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
    try:
        yield store
    finally:
        await store.close()


def lose(database: Database, order_id: UUID) -> None:
    """Its commit is lost."""
    for table in ("orders", "order_keys"):
        database.fetch(f"DELETE FROM {table} WHERE order_id = %s", (str(order_id),))


def lose_the_last_change(database: Database, order_id: UUID) -> None:
    database.fetch(
        "UPDATE orders SET version = version - 1, status = 'under_review' WHERE order_id = %s", (str(order_id),)
    )


def write_it_anew(database: Database, order_id: UUID) -> None:
    """The same version, by another commit."""
    database.fetch("UPDATE orders SET updated_at = clock_timestamp() WHERE order_id = %s", (str(order_id),))


Loss = Callable[[Database, UUID], None]


@pytest.mark.parametrize("loss", [lose, lose_the_last_change, write_it_anew])
def test_nothing_is_committed_or_found_where_the_last_commit_is_missing(database: Database, loss: Loss) -> None:
    async def scenario() -> None:
        async with _store(database) as store, _store(database) as other:
            last, new = a_proposal(), a_proposal()
            await store.commit([last])
            await store.commit([last._replace(decision=_APPROVED)])
            loss(database, last.order.order_id)
            for ask in (store.commit([new]), store.find([new.order.order_id]), store.ping()):
                with pytest.raises(StoreTakenBack, match="run `faust -A creditstream restore`"):
                    await ask
            assert "older than what was published" in store.taken_back
            assert database.fetch(
                "SELECT count(*) FROM order_keys WHERE order_id = %s", (str(new.order.order_id),)
            ) == [(0,)]
            await other.ping()  # knows of nothing, until it is told
            await store.report("a worker")
            with pytest.raises(StoreTakenBack):
                await other.commit([new])
            database.fetch("UPDATE taken_back SET restored_at = now()")
            for each in (other, store):  # what did not come back was told to nobody
                await each.commit([new])
                assert not each.taken_back

    asyncio.run(scenario())


def test_what_was_looked_up_is_missed_as_well(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store, _store(database) as other:
            proposal = a_proposal()
            await other.commit([proposal])
            assert await store.find([proposal.order.order_id])
            lose(database, proposal.order.order_id)
            with pytest.raises(StoreTakenBack):
                await store.ping()

    asyncio.run(scenario())


def test_it_goes_on_by_itself_when_all_is_there_again(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store:
            proposal = a_proposal()
            await store.commit([proposal])
            database.fetch("UPDATE orders SET version = version - 1 WHERE false")
            database.fetch("CREATE TABLE aside AS SELECT * FROM orders")
            database.fetch("CREATE TABLE keys_aside AS SELECT * FROM order_keys")
            lose(database, proposal.order.order_id)
            with pytest.raises(StoreTakenBack):
                await store.ping()
            database.fetch("INSERT INTO order_keys SELECT * FROM keys_aside")
            database.fetch("INSERT INTO orders SELECT * FROM aside")
            await store.report("a worker")
            assert database.fetch("SELECT count(*) FROM taken_back") == [(0,)], "it was looked at once more"
            await store.ping()
            assert not store.taken_back

    asyncio.run(scenario())


def test_erasures_and_dropped_months_are_not_missed(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store:
            proposal = a_proposal(an_order(created_at=datetime(2025, 2, 1, tzinfo=UTC)), _APPROVED)
            await store.commit([proposal])
            database.fetch("UPDATE orders SET customer_id = '[forgotten]', version = 2, updated_at = clock_timestamp()")
            await store.ping()
            database.fetch("DELETE FROM orders")
            await store.ping()
            database.fetch(
                "INSERT INTO dropped_months (month, orders, partition, dropped_at) VALUES ('2025-02-01Z', 1, 0, now())"
            )
            database.fetch("DELETE FROM order_keys")
            await store.ping()
            database.fetch("UPDATE dropped_months SET dropped_at = '2025-03-01Z'")
            with pytest.raises(StoreTakenBack):
                await store.ping()

    asyncio.run(scenario())


def test_what_is_known_from_elsewhere_must_be_there_too(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store, _store(database) as other:
            row = a_proposal()
            answers = await other.commit([row])
            there = answers[row.order.order_id]
            mark = Mark(row.order.order_id, row.order.created_at, 1, there.updated_at)  # type: ignore[union-attr]
            store.expect([mark, Mark(row.order.order_id, row.order.created_at)])
            store.expect([Mark(UUID(int=1), removed_at=_LATER)])
            await store.ping()
            for missing in (
                mark._replace(version=2),
                Mark(UUID(int=2), row.order.created_at),
                Mark(row.order.order_id, removed_at=_LATER + timedelta(days=1)),
            ):
                async with _store(database) as another:
                    another.expect([missing])
                    with pytest.raises(StoreTakenBack):
                        await another.ping()

    asyncio.run(scenario())


def test_a_standby_that_lags_is_no_database_that_was_taken_back(database: Database) -> None:
    async def scenario() -> None:
        store = PostgresStore(await Pooled.open(Secret(database.replica_dsn), size=1))
        store.expect([Mark(UUID(int=1), _LATER, 1, _LATER)])
        with pytest.raises(StoreUseless, match="read-only") as raised:
            await store.commit([a_proposal()])
        assert not isinstance(raised.value, StoreTakenBack) and not store.taken_back
        await store.close()

    if database.replica_dsn != database.dsn:
        database.wait_for_replica()
        asyncio.run(scenario())
