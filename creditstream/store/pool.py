"""aiopg's connection and pool with three faults mended. The only place that knows aiopg's insides.

1. Under uvloop a refused connection left its descriptor registered, and the next socket with that number, anybody's,
   got a RuntimeError. 2. A free connection could break between aiopg's check and its use, which was an AssertionError.
3. What fails in `on_connect` stayed open.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiopg
import psycopg2
from aiopg.connection import Connection as _Connection

from creditstream.secret import Secret
from creditstream.store.certificate import why_refused

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection or to wait for a free one. A worker that waits longer is better off backing off."""
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed on all idle connections within 25 s, not one by one."""


class Connection(_Connection):
    """Stops waiting to write before it asks libpq, which closes the descriptor of a connection that failed."""

    @staticmethod
    def _ready(weak_self: Any) -> None:
        connection = weak_self()
        if connection is not None and connection._writing:
            connection._loop.remove_writer(connection._fileno)
            connection._writing = False  # aiopg adds it again when there is more to write
        _Connection._ready(weak_self)


async def connect(dsn: str, start: Callable[[Any], Awaitable[None]] | None = None) -> Any:
    """An open connection, on which `start` has run."""
    connection: Any = Connection(
        dsn, CONNECT_TIMEOUT, False, enable_hstore=False, enable_json=False, enable_uuid=False, **_KEEPALIVE
    )
    try:
        await connection
    except psycopg2.OperationalError as error:
        if "certificate verify failed" in str(error):
            raise psycopg2.OperationalError(await why_refused(dsn)) from None
        raise
    try:
        if start:
            await start(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class Pool(aiopg.Pool):
    """Opens connections when they are needed, up to `size`, and never hands out one that it knows to be broken.

    Each is opened with the DSN as it is then: after a rotation of the password the old ones live on, new ones get in.
    """

    def __init__(self, dsn: Secret, size: int, start: Callable[[Any], Awaitable[None]]) -> None:
        self._secret = dsn
        super().__init__(
            "",
            0,
            size,
            CONNECT_TIMEOUT,
            enable_json=False,
            enable_hstore=False,
            enable_uuid=False,
            echo=False,
            on_connect=start,
            pool_recycle=-1.0,
        )

    async def _fill_free_pool(self, override_min: bool) -> None:
        self._drop_broken()
        if self._free or self.size >= (self.maxsize or 0):
            return
        self._acquiring += 1
        try:
            self._free.append(await connect(self._secret.reveal(), self._on_connect))
            self._cond.notify()
        finally:
            self._acquiring -= 1
        self._drop_broken()

    def _drop_broken(self) -> None:
        self._free = deque((connection for connection in self._free if not connection.closed), self._free.maxlen)
