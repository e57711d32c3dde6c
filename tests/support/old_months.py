"""Orders of a month that is to go, and `retention` on a real server: whole, or killed behind any statement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention.drop_months import clean, cutoff_of, expired_months
from creditstream.order.ports import Proposal
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.decision import Decision
from schemas.status import Row
from tests.support.database import Database

OLD = datetime(2024, 2, 10, 12, tzinfo=UTC)
MONTH = "2024-02"
APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
PARTITIONS = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'orders'::regclass AND inhrelid::regclass::text ~ 'orders_2024'
"""
TABLES = "SELECT count(*) FROM pg_class WHERE relname ~ 'orders_2024_02' AND relkind = 'r'"
#: So many statements of `clean` lead to a table that is a partition no more.
DETACHED = 5


def settings_of(database: Database) -> Settings:
    return Settings(postgres_dsn=Secret(database.dsn), retention_months=12, retention_keys_months=0)


@asynccontextmanager
async def store_of(database: Database) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(settings_of(database))
    try:
        yield store
    finally:
        await store.close()


def of_old(count: int = 1) -> list[Proposal]:
    return [a_proposal(an_order(created_at=OLD), APPROVED) for _ in range(count)]


async def old_orders(database: Database, store: PostgresStore) -> list[Proposal]:
    """Of a month that is to go: written long ago."""
    old = of_old(3)
    await store.commit(old)
    written_long_ago(database)
    return old


def written_long_ago(database: Database) -> None:
    """All orders. Their version is a newer one: what a worker knows of them is not taken back."""
    database.fetch("UPDATE orders SET updated_at = created_at, version = version + 1")


async def run_retention(database: Database, before: Any = None) -> Any:
    """One run. `before`: called with its session between the count and the drop."""
    settings = settings_of(database)
    await until_alone(database)
    async with only_one(settings, "retention") as session:
        cutoff = await cutoff_of(session, settings)
        months = [month for month in await expired_months(session, cutoff) if month.goes]
        if before:
            await before(session)
        with progress_bars(shown=False) as bars:
            return await clean(session, settings, cutoff, months, bars)


async def until_alone(database: Database) -> None:
    """The session of a run that was killed has ended."""

    async def is_alone() -> bool:
        return not database.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory'")

    await wait_for_async(is_alone, 20.0, "nobody holds the lock of `retention`")


async def all_stand(store: PostgresStore, proposals: list[Proposal]) -> bool:
    found = await store.find([each.order.order_id for each in proposals])
    return len(found) == len(proposals) and all(isinstance(each, Row) for each in found.values())


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


async def broken_off(database: Database, store: PostgresStore, late: list[Proposal], statements: int) -> bool:
    """Whether it came to its end. `late` is committed between the count and the drop."""

    async def before(session: Maintenance) -> None:
        await store.commit(late)
        _killed_after(session, statements)

    try:
        await run_retention(database, before)
    except _Broken:
        return False
    return True


async def until_committed(store: PostgresStore, proposals: list[Proposal]) -> None:
    async def are_committed() -> bool:
        return all(isinstance(each, Row) for each in (await store.commit(proposals)).values())

    await wait_for_async(are_committed, 30.0, "they are committed")
