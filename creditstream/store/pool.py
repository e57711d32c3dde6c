"""aiopg's connection and pool with some faults mended. The only place that knows aiopg's insides.

1. Under uvloop a refused connection left its descriptor registered, and the next socket with that number, anybody's,
   got a RuntimeError. 2. A free connection could break between aiopg's check and its use, which was an AssertionError.
3. While it opens, libpq goes from one address to the next, each with a socket of its own; aiopg listened to the first
   one only. 4. Who waited for a free connection did not hear of one that came back broken.
"""

import asyncio
from collections import deque
from typing import Any
from weakref import ReferenceType

import aiopg
import psycopg2
from aiopg.connection import Connection as _Connection
from psycopg2.extensions import POLL_OK, POLL_WRITE

from creditstream.config.secret import Secret
from creditstream.store.addresses import ways
from creditstream.store.certificate import why_refused

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection or to wait for a free one. A worker that waits longer is better off backing off."""
_HOST_TIMEOUT = 1.5
"""Seconds for an address that has others behind it: one that vanished without a word leaves time for the next."""
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed on all idle connections within 25 s, not one by one."""
_LOOK_AGAIN = 1.0
"""Seconds between two looks at a connection whose answer has not come, whatever the loop tells of its socket."""
_ENCODING = "UTF8"
"""Said when a session begins: otherwise a role's or a database's own refuses names that the table can hold."""


class Connection(_Connection):
    """Stops waiting to write before it asks libpq, which closes the descriptor of a connection that failed."""

    _is_open = False

    @staticmethod
    def _ready(weak_self: ReferenceType[_Connection]) -> None:
        connection: Any = weak_self()
        if connection is None:
            return
        if not connection._is_open:
            connection._go_on_opening()
            return
        if connection._writing:
            connection._loop.remove_writer(connection._fileno)
            connection._writing = False  # aiopg adds it again when there is more to write
        _Connection._ready(weak_self)

    async def _poll(self, waiter: "asyncio.Future[None]", within: float) -> None:
        looking = self._loop.call_later(_LOOK_AGAIN, self._look_again, waiter)
        try:
            await super()._poll(waiter, within)
        finally:
            looking.cancel()

    def _look_again(self, waiter: "asyncio.Future[None]") -> None:
        if self._is_open and not waiter.done():
            self._ready(self._weakref)
            self._loop.call_later(_LOOK_AGAIN, self._look_again, waiter)

    def _go_on_opening(self) -> None:
        """Nothing is watched during libpq's step: it may close one socket and open another with the same number."""
        self._unwatch()
        waiter = self._waiter
        try:
            state = self._conn.poll()
        except psycopg2.Error as error:
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
            return
        self._fileno = self._conn.fileno()
        self._writing = state == POLL_WRITE
        watch = self._loop.add_writer if self._writing else self._loop.add_reader
        watch(self._fileno, self._ready, self._weakref)
        self._is_open = state == POLL_OK
        if self._is_open and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _unwatch(self) -> None:
        if self._fileno is not None:
            self._loop.remove_reader(self._fileno)
            self._loop.remove_writer(self._fileno)
        self._fileno, self._writing = None, False


async def connect(dsn: str) -> Any:
    """An open connection, to the first address of `dsn` that answers as `target_session_attrs` wants it."""
    clock = asyncio.get_running_loop().time
    until = clock() + CONNECT_TIMEOUT
    *others, last = await ways(dsn, CONNECT_TIMEOUT)
    failures: list[str] = []
    for way in others:
        try:
            return await _connect(way, min(_HOST_TIMEOUT, CONNECT_TIMEOUT / (len(others) + 1)))
        except (psycopg2.OperationalError, TimeoutError) as error:
            failures.append(_first_line(error))
    try:
        return await _connect(last, max(_HOST_TIMEOUT, until - clock()))
    except (psycopg2.OperationalError, TimeoutError) as error:
        if not failures:
            raise
        raise psycopg2.OperationalError("; ".join([*failures, _first_line(error)])) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no answer in time")


async def _connect(dsn: str, within: float) -> Any:
    given = {**_KEEPALIVE, "client_encoding": _ENCODING}
    connection: Any = Connection(dsn, within, False, enable_hstore=False, enable_json=False, enable_uuid=False, **given)
    try:
        return await connection
    except psycopg2.OperationalError as error:
        if "certificate verify failed" in str(error):
            raise psycopg2.OperationalError(await why_refused(dsn)) from None
        raise


class Pool(aiopg.Pool):
    """Opens connections when they are needed, up to `size`, and never hands out one that it knows to be broken.

    Each is opened with the DSN as it is then: after a rotation of the password the old ones live on, new ones get in.
    """

    def __init__(self, dsn: Secret, size: int) -> None:
        self._secret = dsn
        #: In use now, and not to be used again.
        self._doomed: set[_Connection] = set()
        self._waking: set[asyncio.Future[None]] = set()
        super().__init__(
            "",
            0,
            size,
            CONNECT_TIMEOUT,
            enable_json=False,
            enable_hstore=False,
            enable_uuid=False,
            echo=False,
            on_connect=None,
            pool_recycle=-1.0,
        )

    def drop(self) -> None:
        """No connection that is open now is used again; the next one goes wherever the address leads by then."""
        while self._free:
            self._free.popleft().close()
        self._doomed |= self._used

    def release(self, conn: _Connection) -> "asyncio.Future[None]":
        """Returns at once: waking who waits takes a lock, which somebody may hold who is just connecting."""
        if conn in self._doomed:
            self._doomed.remove(conn)
            conn.close()
        waking = super().release(conn)
        if waking.done():  # of a broken one aiopg tells nobody
            waking = asyncio.ensure_future(self._wakeup())
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)
        nothing: asyncio.Future[None] = self._loop.create_future()
        nothing.set_result(None)
        return nothing

    async def _fill_free_pool(self, override_min: bool) -> None:
        self._drop_broken()
        if self._free or self.size >= (self.maxsize or 0):
            return
        self._acquiring += 1
        try:
            self._free.append(await connect(self._secret.reveal()))
            self._cond.notify()
        finally:
            self._acquiring -= 1
        self._drop_broken()

    def _drop_broken(self) -> None:
        self._free = deque((connection for connection in self._free if not connection.closed), self._free.maxlen)
