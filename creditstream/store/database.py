"""A pool of connections to one PostgreSQL, and the one way in which the store asks it: a statement in, a value out."""

from typing import Any, Self

import psycopg2
from psycopg2.extensions import parse_dsn

from creditstream.errors import StartError, StoreUnavailable
from creditstream.settings import Secret
from creditstream.store.errors import translated
from creditstream.store.pool import CONNECT_TIMEOUT, Pool
from creditstream.store.queries import query

_ANSWER_TIMEOUT = 12.0
"""Seconds; after the session's own statement time-out (10 s), so this ends only what the server no longer answers."""


class Database:
    """One server and database. Nothing connects before `open`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: Secret, *, size: int, setting: str = "CREDITSTREAM_POSTGRES_DSN") -> Self:
        """Connect once, to know now. Raises StartError (the DSN is none) or StoreUnavailable."""
        check_dsn(dsn, setting)
        database = cls(Pool(dsn, size, _start_session))
        await database.value("check")
        return database

    async def value(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """The first column of the first row that the named statement's last part gives."""
        if self._is_closed:
            raise StoreUnavailable("PostgreSQL: this worker has closed its connections")
        with translated():
            async with self._pool.acquire() as connection, connection.cursor(timeout=_ANSWER_TIMEOUT) as cursor:
                await cursor.execute(query(name), parameters)
                (value,) = await cursor.fetchone()
                return value

    async def close(self) -> None:
        """What is still being asked fails with StoreUnavailable; call it when the work is done."""
        self._is_closed = True
        self._pool.terminate()
        await self._pool.wait_closed()


def check_dsn(dsn: Secret, setting: str) -> None:
    """Raises StartError naming the setting. The driver's own text would show the password."""
    try:
        parse_dsn(dsn.reveal())
    except psycopg2.Error:
        raise StartError(f"bad setting {setting}: not a PostgreSQL connection string") from None


async def _start_session(connection: Any) -> None:
    async with connection.cursor(timeout=CONNECT_TIMEOUT) as cursor:
        await cursor.execute(query("start_session"))
