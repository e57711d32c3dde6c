"""The dashboard's questions, answered by the replica when there is one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable
from creditstream.order.ports import Search
from creditstream.store.orders import PostgresStore
from creditstream.store.reads import MAX_PAGE, Reads
from devtools.fakes import a_proposal, an_order
from devtools.stack.ports import free_port
from devtools.stack.postgres import Postgres
from devtools.stack.service import silent
from devtools.wait import wait_for
from schemas.decision import Decision

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[tuple[PostgresStore, Reads]]:
    settings = Settings(postgres_dsn=Secret(dsn))
    store, reads = await PostgresStore.open(settings), await Reads.open(settings)
    yield store, reads
    await asyncio.gather(store.close(), reads.close())


def test_counts_of_today(database: Any) -> None:
    async def scenario() -> None:
        async with _opened(database.dsn) as (store, reads):
            assert await reads.counts_today() == {"under_review": 0, "approved": 0, "rejected": 0}
            now = datetime.now(UTC)
            today = [an_order(created_at=now) for _ in range(3)]
            yesterday = an_order(created_at=now.replace(hour=0, minute=0) - timedelta(minutes=2))
            await store.commit(
                [a_proposal(today[0]), *(a_proposal(order, APPROVED) for order in (*today[1:], yesterday))]
            )
            assert await reads.counts_today() == {"under_review": 1, "approved": 2, "rejected": 0}

    asyncio.run(scenario())


def test_newest_first_page_by_page(database: Any) -> None:
    async def scenario() -> None:
        async with _opened(database.dsn) as (store, reads):
            orders = [an_order(created_at=NOON - timedelta(days=n // 3)) for n in range(100)]
            await store.commit([a_proposal(order) for order in orders])
            expected = sorted(orders, key=lambda order: (order.created_at, order.order_id), reverse=True)
            got, page = [], await reads.newest(7)
            while page:
                got += page
                after = (page[-1].created_at, page[-1].order_id)
                page = await reads.search(Search(after=after), 7)
            assert [row.order_id for row in got] == [order.order_id for order in expected]
            assert await reads.newest(-1) == []
            assert len(await reads.newest(10_000)) == 100 <= MAX_PAGE

    asyncio.run(scenario())


def test_search_filters(database: Any) -> None:
    async def scenario() -> None:
        async with _opened(database.dsn) as (store, reads):
            mine, other = an_order(customer_id="c-%(x)s'"), an_order(created_at=NOON - timedelta(days=40))
            await store.commit([a_proposal(mine, APPROVED), a_proposal(other)])

            async def found(**filters: Any) -> list[Any]:
                return [row.order_id for row in await reads.search(Search(**filters))]

            assert await found(status="approved") == [mine.order_id]
            assert await found(customer="c-%(x)s'") == [mine.order_id]
            assert await found(since=NOON) == [mine.order_id]
            assert await found(until=NOON) == [other.order_id]
            assert await found(customer="a\0") == await found(customer="a\ud800") == []
            assert await found(status="rejected", customer="c-102", since=NOON, until=NOON) == []

    asyncio.run(scenario())


def test_one_order(database: Any) -> None:
    async def scenario() -> None:
        async with _opened(database.dsn) as (store, reads):
            order = an_order()
            assert await reads.order(order.order_id) is None
            answers = await store.commit([a_proposal(order)])
            assert await reads.order(order.order_id) == answers[order.order_id]

    asyncio.run(scenario())


def test_the_replica_answers_when_there_is_one(database: Any) -> None:
    nowhere = Secret("postgresql://u:hush@127.0.0.1:1/nowhere")

    async def scenario() -> None:
        reads = await Reads.open(Settings(postgres_dsn=nowhere, postgres_replica_dsn=Secret(database.dsn)))
        assert await reads.newest(1) == []
        await reads.close()
        with pytest.raises(StoreUnavailable):
            await Reads.open(Settings(postgres_dsn=Secret(database.dsn), postgres_replica_dsn=nowhere))
        with pytest.raises(StartError, match="CREDITSTREAM_POSTGRES_REPLICA_DSN"):
            await Reads.open(Settings(postgres_replica_dsn=Secret("hush")))

    asyncio.run(scenario())


def test_a_replica_that_was_started_and_reaches_no_primary_is_behind(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", free_port(), brief=True)
    try:
        server.begin(silent)
        server.await_ready(silent)
        server.ask("CREATE ROLE plain LOGIN")
        server.stop()
        (server.data / "standby.signal").touch()
        server.begin(silent)
        wait_for(server.ready, 30, "the standby answers")

        async def scenario() -> None:
            dsn = Secret(f"postgresql://plain@127.0.0.1:{server.port}/postgres")
            reads = await Reads.open(Settings(postgres_dsn=dsn, postgres_replica_dsn=dsn))
            lag = await reads.lag()
            assert lag is not None and lag > 0
            await reads.close()

        asyncio.run(scenario())
    finally:
        server.stop()
