"""A pool of connections to one PostgreSQL, and the one way in which the store asks it: a statement in, a value out."""

from collections.abc import Mapping
from typing import Any, Self

import psycopg2
from psycopg2.extensions import parse_dsn

from creditstream.config.secret import Secret
from creditstream.errors import StartError, StoreUnavailable, StoreUseless
from creditstream.store.errors import is_of_the_server, translated
from creditstream.store.pool import Pool
from creditstream.store.queries import query

_ANSWER_TIMEOUT = 12.0
"""Seconds; after the statement's own time-out (10 s), so this ends only what the server no longer answers."""


class Database:
    """One server and database. Nothing connects before `open`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._is_closed = False

    @classmethod
    async def open(cls, dsn: Secret, *, size: int, setting: str = "CREDITSTREAM_POSTGRES_DSN") -> Self:
        """Connect once, to know now. Raises StartError (the DSN is none) or StoreUnavailable."""
        check_dsn(dsn, setting)
        database = cls(Pool(dsn, size))
        try:
            await database.value("check")
        except BaseException:
            await database.close()
            raise
        return database

    async def value(self, name: str, parameters: Mapping[str, object] | None = None, *, blames: bool = True) -> Any:
        """The first column of the first row that the named statement's last part gives.

        A failure that is the server's, not the statement's, ends every connection that is open now (docs/adr/0019).
        `blames` False: that the role may not, or the schema is another one, says nothing about the server.
        """
        if self._is_closed:
            raise StoreUnavailable("PostgreSQL: this worker has closed its connections")
        with translated():
            async with self._pool.acquire() as connection, connection.cursor(timeout=_ANSWER_TIMEOUT) as cursor:
                try:
                    await cursor.execute(message(name), parameters)
                    (value,) = await cursor.fetchone()
                except (psycopg2.Error, TimeoutError) as error:
                    if is_of_the_server(error, of_the_schema=blames):
                        self.drop()
                    raise
                return value

    async def require(self, name: str) -> None:
        """The named statement gives null, or what is wrong with this server. Raises StoreUnavailable, StoreUseless."""
        wrong = await self.value(name)
        if wrong is not None:
            self.drop()
            raise StoreUseless(f"PostgreSQL {wrong}")

    def drop(self) -> None:
        """No connection that is open now is used again; what is being asked on one goes on."""
        self._pool.drop()

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


def message(name: str) -> str:
    """The named statement, behind the settings it needs, in one message and so in one transaction.

    Settings of a session would be lost by a RESET or a pooler, or land on another client of it.
    """
    return f"{query('settings')}\n{query(name)}"
