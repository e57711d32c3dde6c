"""Database migrations: numbered .sql files, each applied once, in one transaction, and never changed afterwards."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import NamedTuple

from aiopg import Cursor

from creditstream.config.secret import Secret
from creditstream.errors import StartError
from creditstream.store.database import check_dsn
from creditstream.store.errors import BadRow, translated
from creditstream.store.pool import connect
from creditstream.store.queries import query

log = logging.getLogger(__name__)
_STATEMENT_TIMEOUT = 3_600.0
"""Seconds. An index on a large table takes its time."""
_LOCK_RETRY = 0.2
_LOCK_TRIES = round(_STATEMENT_TIMEOUT / _LOCK_RETRY)


class Migration(NamedTuple):
    """One file. `checksum` is over its text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in order."""
    folder = files("creditstream.store").joinpath("sql/migrations")
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    return [Migration(path.name, path.read_text(encoding="utf-8")) for path in paths]


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and make the partitions of the next months. Returns the names applied, in order.

    Two at once: each is applied by one of them, and no lock outlives a transaction. Raises StartError (a migration was
    changed after it was applied or does not fit the data, others never end, a bad DSN) or StoreUnavailable.
    """
    applied: list[str] = []
    async with _cursor(dsn) as cursor:
        async with _alone(cursor):
            await cursor.execute(query("migrations_table"))
        while True:
            async with _alone(cursor):
                missing = _missing(shipped(), await _applied(cursor))
                if not missing:
                    await cursor.execute(query("ensure_partitions_ahead"))
                    return applied
                await _apply(cursor, missing[0])
            applied.append(missing[0].name)


async def pending(dsn: str) -> list[str]:
    """The names of the migrations that this version needs and the database lacks. Changes nothing. Raises as above."""
    async with _cursor(dsn) as cursor:
        await cursor.execute(query("migrations_exist"))
        applied = await _applied(cursor) if (await cursor.fetchone())[0] else {}
        return [migration.name for migration in _missing(shipped(), applied)]


async def _apply(cursor: Cursor, migration: Migration) -> None:
    record = {"name": migration.name, "checksum": migration.checksum}
    try:
        with translated():
            await cursor.execute(migration.text)
            await cursor.execute(query("migrations_record"), record)
    except BadRow as error:
        raise StartError(f"migration {migration.name} does not fit the data: {error}") from None


@asynccontextmanager
async def _alone(cursor: Cursor) -> AsyncIterator[None]:
    """A transaction in which no other program migrates. Waits for one that does, and says for whom."""
    told = None
    for _ in range(_LOCK_TRIES):
        async with cursor.begin():
            await cursor.execute(query("start_migration"))
            if (await cursor.fetchone())[0]:
                yield
                return
            await cursor.execute(query("migrations_lock_holder"))
            (holder,) = await cursor.fetchone()
        if holder != told:
            log.warning("waiting for another `migrate`: PostgreSQL's process %s holds its lock", holder)
            told = holder
        await asyncio.sleep(_LOCK_RETRY)
    raise StartError(
        f"another `migrate` does not end: is PostgreSQL's process {told} one? Else pg_terminate_backend it"
    )


def _missing(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Those not in `applied`. What the database has beyond `migrations` is a newer version's, and its own affair."""
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise StartError(f"migration {migration.name} was changed after it was applied: add a new one instead")
    return [migration for migration in migrations if migration.name not in applied]


async def _applied(cursor: Cursor) -> dict[str, str]:
    await cursor.execute(query("migrations_applied"))
    (text,) = await cursor.fetchone()
    applied: dict[str, str] = json.loads(text)
    return applied


@asynccontextmanager
async def _cursor(dsn: str) -> AsyncIterator[Cursor]:
    check_dsn(Secret(dsn), "CREDITSTREAM_POSTGRES_DSN")
    with translated():
        async with (
            await connect(dsn) as connection,
            connection.cursor(timeout=_STATEMENT_TIMEOUT) as cursor,
        ):
            yield cursor
