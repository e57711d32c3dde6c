"""Database migrations: numbered .sql files, each applied once, in one transaction, and never changed afterwards."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NamedTuple

from creditstream.errors import StartError
from creditstream.settings import Secret
from creditstream.store.database import check_dsn
from creditstream.store.errors import BadRow, translated
from creditstream.store.pool import connect
from creditstream.store.queries import query

_STATEMENT_TIMEOUT = 3_600.0
"""Seconds. An index on a large table takes its time, and so does waiting for another migration to end."""


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

    Two at once: one waits, then finds nothing to do. Raises StartError (a migration was changed after it was applied
    or does not fit the data, a bad DSN) or StoreUnavailable.
    """
    async with _cursor(dsn) as cursor:
        await cursor.execute(query("migrations_lock"))
        await cursor.execute(query("migrations_table"))
        missing = _missing(shipped(), await _applied(cursor))
        for migration in missing:
            await _apply(cursor, migration)
        await cursor.execute(query("ensure_partitions_ahead"))
        return [migration.name for migration in missing]


async def pending(dsn: str) -> list[str]:
    """The names of the migrations that this version needs and the database lacks. Changes nothing. Raises as above."""
    async with _cursor(dsn) as cursor:
        await cursor.execute(query("migrations_exist"))
        applied = await _applied(cursor) if (await cursor.fetchone())[0] else {}
        return [migration.name for migration in _missing(shipped(), applied)]


async def _apply(cursor: Any, migration: Migration) -> None:
    record = {"name": migration.name, "checksum": migration.checksum}
    try:
        with translated():
            async with cursor.begin():
                await cursor.execute(migration.text)
                await cursor.execute(query("migrations_record"), record)
    except BadRow as error:
        raise StartError(f"migration {migration.name} does not fit the data: {error}") from None


def _missing(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Those not in `applied`. What the database has beyond `migrations` is a newer version's, and its own affair."""
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise StartError(f"migration {migration.name} was changed after it was applied: add a new one instead")
    return [migration for migration in migrations if migration.name not in applied]


async def _applied(cursor: Any) -> dict[str, str]:
    await cursor.execute(query("migrations_applied"))
    (text,) = await cursor.fetchone()
    applied: dict[str, str] = json.loads(text)
    return applied


@asynccontextmanager
async def _cursor(dsn: str) -> AsyncIterator[Any]:
    check_dsn(Secret(dsn), "CREDITSTREAM_POSTGRES_DSN")
    with translated():
        async with (
            await connect(dsn) as connection,
            connection.cursor(timeout=_STATEMENT_TIMEOUT) as cursor,
        ):
            yield cursor
