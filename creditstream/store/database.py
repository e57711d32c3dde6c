"""A pool of connections to one PostgreSQL, and the one way in which the store asks it: a statement in, a value out."""

from typing import Any, Self

import aiopg
import psycopg2
from psycopg2.extensions import parse_dsn

from creditstream.errors import StartError
from creditstream.settings import Secret
from creditstream.store.errors import translated
from creditstream.store.queries import query

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection or to wait for a free one. A worker that waits longer is better off backing off."""
_ANSWER_TIMEOUT = 12.0
"""Seconds; after the session's own statement time-out (10 s), so this ends only what the server no longer answers."""
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed on all idle connections within 25 s, not one by one."""


class Database:
    """An aiopg pool. Nothing connects before `open`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: Secret, *, size: int, setting: str = "CREDITSTREAM_POSTGRES_DSN") -> Self:
        """Connect once, to know now. Raises StartError (the DSN is none) or StoreUnavailable."""
        check_dsn(dsn, setting)
        # minsize 0: with more, aiopg waits between checking a free connection and handing it out, and it can break.
        pool = await aiopg.create_pool(
            dsn.reveal(),
            minsize=0,
            maxsize=size,
            timeout=CONNECT_TIMEOUT,
            on_connect=_start_session,
            enable_hstore=False,
            enable_json=False,
            enable_uuid=False,
            **_KEEPALIVE,
        )
        database = cls(pool)
        await database.value("check")
        return database

    async def value(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """The first column of the first row that the named statement's last part gives."""
        with translated():
            async with self._pool.acquire() as connection, connection.cursor(timeout=_ANSWER_TIMEOUT) as cursor:
                await cursor.execute(query(name), parameters)
                (value,) = await cursor.fetchone()
                return value

    async def close(self) -> None:
        """What is still being asked fails with StoreUnavailable; call it when the work is done."""
        self._pool.terminate()
        await self._pool.wait_closed()


def check_dsn(dsn: Secret, setting: str) -> None:
    """Raises StartError naming the setting. The driver's own text would show the password."""
    try:
        parse_dsn(dsn.reveal())
    except psycopg2.Error:
        raise StartError(f"bad setting {setting}: not a PostgreSQL connection string") from None


async def _start_session(connection: Any) -> None:
    try:
        async with connection.cursor(timeout=CONNECT_TIMEOUT) as cursor:
            await cursor.execute(query("start_session"))
    except BaseException:
        connection.close()
        raise
