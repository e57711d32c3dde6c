"""`retention` on a real server, while orders of the months that it drops are written, and broken off anywhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any, cast

import psycopg2
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention import drop_months
from creditstream.operations.retention.drop_months import clean, expired_months
from creditstream.order.ports import Proposal
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.decision import Decision
from schemas.status import Row
from tests.support.database import Database
from tests.unit.pipeline_rig import Rig, order_json

_OLD = datetime(2024, 2, 10, 12, tzinfo=UTC)
_MONTH, _AT = "2024-02", f"{_OLD:%Y-%m-%dT%H:%M:%SZ}"
_USUAL = f"{an_order().created_at:%Y-%m-%dT%H:%M:%SZ}"
_APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
_PARTITIONS = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'orders'::regclass AND inhrelid::regclass::text ~ 'orders_2024'
"""
_TABLES = "SELECT count(*) FROM pg_class WHERE relname ~ 'orders_2024_02' AND relkind = 'r'"


@pytest.fixture(autouse=True)
def without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(*_given: object) -> int:
        return 0

    monkeypatch.setattr(drop_months, "_publish", publish)


def _settings(database: Database) -> Settings:
    return Settings(postgres_dsn=Secret(database.dsn), retention_months=12, retention_keys_months=0)


@asynccontextmanager
async def _store(database: Database) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(_settings(database))
    try:
        yield store
    finally:
        await store.close()


def _of_old(count: int = 1) -> list[Proposal]:
    return [a_proposal(an_order(created_at=_OLD), _APPROVED) for _ in range(count)]


async def _old_orders(database: Database, store: PostgresStore) -> list[Proposal]:
    """Of a month that is to go: written long ago."""
    old = _of_old(3)
    await store.commit(old)
    database.fetch("UPDATE orders SET updated_at = created_at")
    return old


async def _retention(database: Database, before: Any = None) -> Any:
    """One run. `before`: called with its session between the count and the drop."""
    settings = _settings(database)
    await _until_alone(database)
    async with only_one(settings, "retention") as session:
        months = [month for month in await expired_months(session, settings) if month.goes]
        if before:
            await before(session)
        with progress_bars(shown=False) as bars:
            return await clean(session, settings, months, bars)


async def _until_alone(database: Database) -> None:
    """The session of a run that was killed has ended."""

    async def is_alone() -> bool:
        return not database.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory'")

    await wait_for_async(is_alone, 20.0, "nobody holds the lock of `retention`")


async def _stand(store: PostgresStore, proposals: list[Proposal]) -> bool:
    found = await store.find([each.order.order_id for each in proposals])
    return len(found) == len(proposals) and all(isinstance(each, Row) for each in found.values())


def test_an_order_that_is_written_after_the_count_keeps_its_month(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store:
            old, late = await _old_orders(database, store), _of_old()

            async def write(_session: Maintenance) -> None:
                await store.commit(late)

            done = await _retention(database, write)
            assert await _stand(store, [*old, *late])
            assert (done.months, done.kept) == ([], {_MONTH: 1})
            assert database.fetch(_PARTITIONS) == [("orders_2024_02",)]
            new = _of_old()
            assert await _stand(store, new) is False
            await store.commit(new)
            assert await _stand(store, [*old, *late, *new])

            database.fetch("UPDATE orders SET updated_at = created_at")
            done = await _retention(database)
            assert (done.months, done.kept) == ([_MONTH], {})
            assert database.fetch(_TABLES) == [(0,)] and not await _stand(store, old)

    asyncio.run(scenario())


class _Broken(Exception):
    """The command is killed."""


def _killed_after(session: Maintenance, statements: int) -> None:
    """It runs so many statements, and no more."""
    cursor: Any = session._cursor
    execute, left = cursor.execute, iter(range(statements))

    async def counted(*given: Any) -> Any:
        if next(left, None) is None:
            raise _Broken
        return await execute(*given)

    cursor.execute = counted


@pytest.mark.parametrize("is_written_to", [False, True], ids=["goes", "is written to"])
@pytest.mark.parametrize("is_made_anew", [False, True], ids=["", "and made anew"])
def test_broken_off_anywhere_it_is_run_again(database: Database, is_written_to: bool, is_made_anew: bool) -> None:
    """`is_made_anew`: a new order of that month comes before the next run, when nobody is at work on it."""

    async def scenario() -> None:
        async with _store(database) as store:
            for statements in range(30):
                old = await _old_orders(database, store)
                late, new = _of_old(int(is_written_to)), _of_old(int(is_made_anew))
                is_through = await _broken_off(database, store, late, statements)
                await _until_committed(store, new)
                await _retention(database)
                assert await _stand(store, [*late, *new]), statements
                if is_written_to or not is_made_anew:
                    assert await _stand(store, old) is is_written_to, statements
                database.fetch("UPDATE orders SET updated_at = created_at")
                await _retention(database)
                assert database.fetch(_TABLES) == [(0,)], statements
                if is_through:
                    return
            raise AssertionError("it never comes to its end")

    asyncio.run(scenario())


async def _broken_off(database: Database, store: PostgresStore, late: list[Proposal], statements: int) -> bool:
    """Whether it came to its end. `late` is committed between the count and the drop."""

    async def before(session: Maintenance) -> None:
        await store.commit(late)
        _killed_after(session, statements)

    try:
        await _retention(database, before)
    except _Broken:
        return False
    return True


async def _until_committed(store: PostgresStore, proposals: list[Proposal]) -> None:
    async def are_committed() -> bool:
        return all(isinstance(each, Row) for each in (await store.commit(proposals)).values())

    await wait_for_async(are_committed, 30.0, "they are committed")


@pytest.mark.parametrize("is_written_to", [False, True], ids=["goes", "is written to"])
def test_orders_of_a_month_that_is_being_detached_wait_until_it_is_over(
    database: Database, is_written_to: bool
) -> None:
    """A new one is decided then. A repeat of one that may go is refused if it went, and nobody is asked about it."""

    async def scenario() -> None:
        async with _store(database) as store, _at_work(store) as rig:
            old, late = await _old_orders(database, store), _of_old(int(is_written_to))

            async def write(_session: Maintenance) -> None:
                await store.commit(late)

            with closing(psycopg2.connect(database.dsn)) as reader:
                reader.cursor().execute("SELECT count(*) FROM orders")  # a long report: the detach waits for it
                run = asyncio.create_task(_retention(database, write))
                await _until_detaching(database)
                known = [order_json(old[0].order.order_id, created_at=_AT), order_json(created_at=_AT)]
                for offset, value in enumerate((*known, order_json(created_at=_USUAL))):
                    rig.pipeline.accept(rig.record(value, offset=offset))
                await _until_done(rig, 1)
                assert rig.publisher.reasons() == []
            done = await run
            await _until_done(rig, 3)
            assert done.kept == ({_MONTH: 1} if is_written_to else {})
            assert rig.publisher.reasons() == (["conflict"] if is_written_to else ["row_removed"])
            assert len(rig.risk.calls) == len(rig.publisher.values("order-status")) == 2

    asyncio.run(scenario())


async def _until_detaching(database: Database) -> None:
    async def is_detaching() -> bool:
        return database.fetch("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)") == [(True,)]

    await wait_for_async(is_detaching, 30.0, "the month is being detached")


@asynccontextmanager
async def _at_work(store: PostgresStore) -> AsyncIterator[Rig]:
    """A worker's pipeline with its loops."""
    rig = Rig(store=cast(Any, store))
    loops = [asyncio.create_task(each) for each in rig.pipeline.tasks()]
    try:
        yield rig
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _until_done(rig: Rig, count: int) -> None:
    async def are_done() -> bool:
        return len(rig.acknowledged) == count

    await wait_for_async(are_done, 30.0, f"{count} orders are done")


def test_what_was_begun_is_kept_when_the_setting_is_0_by_then(database: Database) -> None:
    async def scenario() -> None:
        async with _store(database) as store:
            old = await _old_orders(database, store)
            assert not await _broken_off(database, store, [], 5)
            assert not await _stand(store, old), "it is detached"
            settings = Settings(postgres_dsn=Secret(database.dsn), retention_months=0, retention_keys_months=0)
            await _until_alone(database)
            async with only_one(settings, "retention") as session:
                with progress_bars(shown=False) as bars:
                    done = await clean(session, settings, [], bars)
            assert (done.months, done.kept) == ([], {_MONTH: 3})
            assert await _stand(store, old)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_in_the_way", [False, True], ids=["", "with an order of the month"])
def test_beside_a_default_partition_a_month_is_kept_too(database: Database, is_in_the_way: bool) -> None:
    """A new order of the month goes to the default one when the month is detached: then the others go there too."""

    async def scenario() -> None:
        async with _store(database) as store:
            old, late, new = await _old_orders(database, store), _of_old(), _of_old(int(is_in_the_way))
            database.fetch("CREATE TABLE others PARTITION OF orders DEFAULT")
            assert not await _broken_off(database, store, late, 5)
            assert not await _stand(store, old), "it is detached"
            await _until_committed(store, new)
            done = await _retention(database)
            assert done.kept == {_MONTH: 1}
            assert await _stand(store, [*old, *late, *new])
            assert database.fetch("SELECT count(*) FROM others") == [(5 if is_in_the_way else 0,)]

    asyncio.run(scenario())
