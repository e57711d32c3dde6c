"""What operators' commands ask of PostgreSQL: one connection with a short lock time-out, outside the workers' pools."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from aiopg import Connection, Cursor
from psycopg2 import errors as driver

from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable
from creditstream.store.database import check_dsn
from creditstream.store.errors import translated
from creditstream.store.pool import connect
from creditstream.store.queries import query

#: A statement over a large table takes its time; nobody waits for it.
_ANSWER_TIMEOUT = 3_600.0
#: Between two tries for a lock: what waits for a lock makes others wait behind it, so each wait is short.
_LOCK_RETRY = 1.0
_LOCK_TRIES = 60

_Answer = TypeVar("_Answer")


class Maintenance:
    """One session. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    async def value(self, name: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The first column of the first row that the named statement gives."""
        with translated():
            await self._execute(query(name), parameters, what=name)
            row = await self._cursor.fetchone()
            return row[0] if row else None

    async def patient_value(self, name: str, parameters: Mapping[str, object]) -> Any:
        """`value`, outside a transaction. Tried again while others hold a lock that it needs.

        Raises StartError if they never let go.
        """
        return await _patiently(lambda: self.value(name, parameters))

    async def json(self, name: str, parameters: Mapping[str, object] | None = None) -> Any:
        """`value` of a statement that gives JSON text."""
        return json.loads(await self.value(name, parameters))

    async def give_up(self, name: str) -> None:
        """The named statement, which ends what failed; the session may have ended with it."""
        with suppress(Exception):
            await self.value(name)

    async def change(self, name: str, parameters: Mapping[str, object]) -> None:
        """Run the change of the schema that the named statement gives, until it gives none. Patiently, too."""

        async def run() -> None:
            while (statement := await self.value(name, parameters)) is not None:
                with translated():
                    await self._execute(statement)

        await _patiently(run)

    async def _execute(
        self, statement: str, parameters: Mapping[str, object] | None = None, *, what: str | None = None
    ) -> None:
        given = () if parameters is None else (parameters,)
        try:
            await self._cursor.execute(statement, *given)
        except driver.LockNotAvailable:
            raise _Locked(f"PostgreSQL: others hold a lock that `{what or statement}` needs") from None


class _Locked(StoreUnavailable):
    """Not within `lock_timeout`."""


async def _patiently(attempt: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Raises StartError when the lock is not to be had."""
    locked: _Locked | None = None
    for _ in range(_LOCK_TRIES):
        try:
            return await attempt()
        except _Locked as error:
            locked = error
            await asyncio.sleep(_LOCK_RETRY)
    raise StartError(f"{locked}: run it again when they are done")


@asynccontextmanager
async def only_one(settings: Settings, what: str) -> AsyncIterator[Maintenance]:
    """A session that holds the advisory lock of that name.

    Raises StartError (bad DSN, another program holds the lock, the address leads to a pooler) or StoreUnavailable.
    """
    check_dsn(settings.postgres_dsn, "CREDITSTREAM_POSTGRES_DSN")
    with translated():
        async with (
            await connect(settings.postgres_dsn.reveal()) as connection,
            connection.cursor(timeout=_ANSWER_TIMEOUT) as cursor,
        ):
            session = Maintenance(cursor)
            await _refuse_pooler(connection, session, what)
            await cursor.execute(query("start_maintenance"))
            if not await session.value("try_only_one", {"what": what}):
                raise StartError(f"another `{what}` is at work on this database, or a command that keeps it out")
            yield session


async def _refuse_pooler(connection: Connection, session: Maintenance, what: str) -> None:
    """A lock and settings of a session would be left on a connection that others use. Whoever stands between gives a
    number of its own for the session; what pools by the session is not told from what pools by the transaction."""
    if await connection.get_backend_pid() != await session.value("backend"):
        raise StartError(
            f"`{what}` needs a session of its own, and CREDITSTREAM_POSTGRES_DSN leads to a pooler (PgBouncer?): "
            "run it with the server's own address"
        )
