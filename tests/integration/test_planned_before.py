"""A month may get its partition after a statement was planned and before it runs: such a statement misses its rows.

It is held up between the two by a lock on another month's table, which the planner needs.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import NotYet, Proposal, Refused
from creditstream.store.maintenance import only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.decision import Decision
from schemas.status import Row
from tests.support.database import Database

_APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'orders_2024_05'::regclass"
_DROPPED = """
INSERT INTO dropped_months (month, orders, partition, dropped_at, published_at)
VALUES ('2024-02-01T00:00:00Z', 1, 0, now() - interval '1 hour', CASE WHEN %s THEN now() END)
"""
_KNOWN = "SELECT count(*) FROM order_keys WHERE order_id = %s"


def _settings(database: Database) -> Settings:
    return Settings(postgres_dsn=Secret(database.dsn), postgres_pool=3)


def _old(month: int = 2) -> Proposal:
    return a_proposal(an_order(created_at=datetime(2024, month, 10, 12, tzinfo=UTC)))


async def _asked(
    database: Database, store: PostgresStore, new: Proposal, question: Awaitable[Any], meanwhile: str = ""
) -> Any:
    """What it is answered. Its statement was planned before `new` was committed, the first order of its month."""
    await store.commit([_old(month=5)])
    await store.commit([_old(month=6)])  # its last commit, which each of its statements asks for, is in another month
    with closing(psycopg2.connect(database.dsn)) as holder:
        holder.cursor().execute("LOCK TABLE orders_2024_05 IN ACCESS EXCLUSIVE MODE")
        answered = asyncio.ensure_future(question)

        async def waits() -> bool:
            return database.fetch(_WAITS) == [(1,)]

        await wait_for_async(waits, 20.0, "the statement is being planned")
        committed = await store.commit([new])
        assert isinstance(committed[new.order.order_id], Row)
        if meanwhile:
            database.fetch(meanwhile)
    return await answered


def test_an_order_that_is_committed_meanwhile_is_not_taken_for_removed(database: Database) -> None:
    async def scenario() -> None:
        store = await PostgresStore.open(_settings(database))
        try:
            new = _old()
            found = await _asked(database, store, new, store.find([new.order.order_id]))
            assert not isinstance(found.get(new.order.order_id), Refused)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_a_decision_whose_row_came_back_meanwhile_is_proposed_again(database: Database) -> None:
    """The update was planned without its month, and what it left is read with it."""

    async def scenario() -> None:
        store = await PostgresStore.open(_settings(database))
        try:
            parked, new = _old(), _old(month=3)
            await store.commit([parked])
            database.fetch("ALTER TABLE orders DETACH PARTITION orders_2024_02")
            approved = parked._replace(decision=_APPROVED)
            back = (
                "ALTER TABLE orders ATTACH PARTITION orders_2024_02 FOR VALUES FROM ('2024-02-01Z') TO ('2024-03-01Z')"
            )
            found = await _asked(database, store, new, store.commit([approved]), meanwhile=back)
            assert found == {parked.order.order_id: NotYet()}
            [row] = (await store.commit([approved])).values()
            assert isinstance(row, Row) and (row.status, row.version) == ("approved", 2)
        finally:
            await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "are_published", "until"), [("removed_orders", False, "upto"), ("delete_keys", True, "cutoff")]
)
def test_retention_removes_what_is_gone_and_nothing_of_it(
    database: Database, name: str, are_published: bool, until: str
) -> None:
    async def scenario() -> None:
        store = await PostgresStore.open(_settings(database))
        try:
            gone, new = _old(), _old()
            await store.commit([gone])
            database.fetch("DROP TABLE orders_2024_02")
            database.fetch(_DROPPED, (are_published,))
            async with only_one(_settings(database), "retention") as session:
                page = {"after": str(UUID(int=0)), "limit": 100, until: datetime.now(UTC)}
                answer = await _asked(database, store, new, session.json(name, page))
            expected = {"deleted": 1} if are_published else {"ids": [str(gone.order.order_id)]}
            assert answer == {"last": answer["last"]} | expected
            assert database.fetch(_KNOWN, (str(new.order.order_id),)) == [(1,)]
        finally:
            await store.close()

    asyncio.run(scenario())
