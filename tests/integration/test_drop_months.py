"""`retention` on a real server, while orders of the months that it drops are written, and broken off anywhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, cast

import psycopg2
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention import drop_months
from creditstream.operations.retention.drop_months import clean, cutoff_of, expired_months
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import an_order
from devtools.wait import wait_for_async
from tests.support.database import Database
from tests.support.old_months import (
    DETACHED,
    MONTH,
    OLD,
    PARTITIONS,
    TABLES,
    all_stand,
    broken_off,
    of_old,
    old_orders,
    run_retention,
    store_of,
    until_alone,
    until_committed,
    written_long_ago,
)
from tests.unit.pipeline_rig import Rig, order_json

_AT = f"{OLD:%Y-%m-%dT%H:%M:%SZ}"
_USUAL = f"{an_order().created_at:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(autouse=True)
def without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(*_given: object) -> int:
        return 0

    monkeypatch.setattr(drop_months, "_publish", publish)


def test_an_order_that_is_written_after_the_count_keeps_its_month(database: Database) -> None:
    async def scenario() -> None:
        async with store_of(database) as store:
            old, late = await old_orders(database, store), of_old()

            async def write(_session: Maintenance) -> None:
                await store.commit(late)

            done = await run_retention(database, write)
            assert await all_stand(store, [*old, *late])
            assert (done.months, done.kept) == ([], {MONTH: 1})
            assert database.fetch(PARTITIONS) == [("orders_2024_02",)]
            new = of_old()
            assert await all_stand(store, new) is False
            await store.commit(new)
            assert await all_stand(store, [*old, *late, *new])

            written_long_ago(database)
            done = await run_retention(database)
            assert (done.months, done.kept) == ([MONTH], {})
            assert database.fetch(TABLES) == [(0,)] and not await all_stand(store, old)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_written_to", [False, True], ids=["goes", "is written to"])
@pytest.mark.parametrize("is_made_anew", [False, True], ids=["", "and made anew"])
def test_broken_off_anywhere_it_is_run_again(database: Database, is_written_to: bool, is_made_anew: bool) -> None:
    """`is_made_anew`: a new order of that month comes before the next run, when nobody is at work on it."""

    async def scenario() -> None:
        async with store_of(database) as store:
            for statements in range(30):
                old = await old_orders(database, store)
                late, new = of_old(int(is_written_to)), of_old(int(is_made_anew))
                is_through = await broken_off(database, store, late, statements)
                await until_committed(store, new)
                await run_retention(database)
                assert await all_stand(store, [*late, *new]), statements
                if is_written_to or not is_made_anew:
                    assert await all_stand(store, old) is is_written_to, statements
                written_long_ago(database)
                await run_retention(database)
                assert database.fetch(TABLES) == [(0,)], statements
                if is_through:
                    return
            raise AssertionError("it never comes to its end")

    asyncio.run(scenario())


@pytest.mark.parametrize("is_written_to", [False, True], ids=["goes", "is written to"])
def test_orders_of_a_month_that_is_being_detached_wait_until_it_is_over(
    database: Database, is_written_to: bool
) -> None:
    """A new one is decided then. A repeat of one that may go is refused if it went, and nobody is asked about it."""

    async def scenario() -> None:
        async with store_of(database) as store, _at_work(store) as rig:
            old, late = await old_orders(database, store), of_old(int(is_written_to))

            async def write(_session: Maintenance) -> None:
                await store.commit(late)

            with closing(psycopg2.connect(database.dsn)) as reader:
                reader.cursor().execute("SELECT count(*) FROM orders")  # a long report: the detach waits for it
                run = asyncio.create_task(run_retention(database, write))
                await _until_detaching(database)
                known = [order_json(old[0].order.order_id, created_at=_AT), order_json(created_at=_AT)]
                for offset, value in enumerate((*known, order_json(created_at=_USUAL))):
                    rig.pipeline.accept(rig.record(value, offset=offset))
                await _until_done(rig, 1)
                assert rig.publisher.reasons() == []
            done = await run
            await _until_done(rig, 3)
            assert done.kept == ({MONTH: 1} if is_written_to else {})
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
        async with store_of(database) as store:
            old = await old_orders(database, store)
            assert not await broken_off(database, store, [], DETACHED)
            assert not await all_stand(store, old), "it is detached"
            settings = Settings(postgres_dsn=Secret(database.dsn), retention_months=0, retention_keys_months=0)
            await until_alone(database)
            async with only_one(settings, "retention") as session:
                with progress_bars(shown=False) as bars:
                    cutoff = await cutoff_of(session, settings)
                    done = await clean(session, settings, cutoff, await expired_months(session, cutoff), bars)
            assert (done.months, done.kept) == ([], {MONTH: 3})
            assert await all_stand(store, old)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_in_the_way", [False, True], ids=["", "with an order of the month"])
def test_beside_a_default_partition_a_month_is_kept_too(database: Database, is_in_the_way: bool) -> None:
    """A new order of the month goes to the default one when the month is detached: then the others go there too."""

    async def scenario() -> None:
        async with store_of(database) as store:
            old, late, new = await old_orders(database, store), of_old(), of_old(int(is_in_the_way))
            database.fetch("CREATE TABLE others PARTITION OF orders DEFAULT")
            assert not await broken_off(database, store, late, DETACHED)
            assert not await all_stand(store, old), "it is detached"
            await until_committed(store, new)
            done = await run_retention(database)
            assert done.kept == {MONTH: 1}
            assert await all_stand(store, [*old, *late, *new])
            assert database.fetch("SELECT count(*) FROM others") == [(5 if is_in_the_way else 0,)]

    asyncio.run(scenario())
