"""The web server's connections: their number is bounded, and none waits for its client for ever."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from creditstream.web.access.descriptors import open_descriptors, page_places, places
from creditstream.web.access.guard import HEADERS, problem
from creditstream.web.access.waiting import Wait, Waiting

log = logging.getLogger(__name__)

MOST_HEAD = 32 * 1024
"""Bytes that a client may send ahead of its requests' answers: aiohttp alone would keep a megabyte of header lines."""
_LOOK_EVERY = 1.0
_SAY_EVERY = 60.0
#: Errors of a request, or of its connection; never of this program.
_CLIENTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Connections:
    """All that are open. Every second those are closed that have kept us waiting too long."""

    def __init__(self, pools: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`pools`: how many descriptors the worker's own connections may take, by the settings."""
        self._pools, self._clock = pools, clock
        self._limit = 0
        self._transports: dict[Connection, asyncio.Transport] = {}
        self._waiting: Waiting[Connection] = Waiting()
        self._places = 0
        self._timer: asyncio.TimerHandle | None = None
        self._said = float("-inf")

    def __len__(self) -> int:
        return len(self._transports)

    def waits(self) -> list[Wait]:
        """What each that waits for its client waits for; for tests and whoever looks into a worker."""
        return self._waiting.all()

    @property
    def page_places(self) -> int:
        """How many of them may be open pages."""
        return page_places(self._places)

    def open(self, limit: int) -> None:
        """Called in the running loop when the server starts to listen. `limit`: descriptors of the process."""
        self._limit = limit
        self._go_on()

    def close(self) -> None:
        """Called when it has stopped: whoever still reads slowly does not hold up the end."""
        if self._timer:
            self._timer.cancel()
        for transport in list(self._transports.values()):
            transport.abort()

    def enter(self, connection: "Connection", transport: asyncio.Transport) -> None:
        """A newcomer gets a place; when there is none, that of one that waits for its client, or is closed at once."""
        now = self._clock()
        self._transports[connection] = transport
        if len(self._transports) > self._places:
            self._say(now)
            leaver = self._waiting.dispensable(now)
            self._transports[leaver or connection].abort()
            self._waiting.forget(leaver or connection)
            if leaver is None:
                return
        self._waiting.note(connection, Wait.HEAD, now)

    def note(self, connection: "Connection", wait: Wait | None) -> None:
        """What it waits for from now on; None: its client waits for us."""
        if connection in self._transports:
            self._waiting.note(connection, wait, self._clock())

    def leave(self, connection: "Connection") -> None:
        self._waiting.forget(connection)
        self._transports.pop(connection, None)

    def _go_on(self) -> None:
        self.look()
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._go_on)

    def look(self) -> None:
        """Close those that have waited too long, and count how many there is room for."""
        for connection in self._waiting.overdue(self._clock()):
            self._waiting.forget(connection)
            self._transports[connection].abort()  # close() would wait for a client that does not read
        others = max(0, open_descriptors() - len(self))
        self._places = places(self._limit, self._pools, others)

    def _say(self, now: float) -> None:
        if now - self._said >= _SAY_EVERY:
            self._said = now
            log.warning("%d web connections are open, as many as there is room for: those that wait go", self._places)


class Connection(web.RequestHandler):
    """aiohttp's, which has a time limit for an idle connection alone, and logs a client's nonsense with a traceback."""

    __slots__ = ("_ahead", "_body", "_connections", "_is_answering", "_is_new")

    def __init__(self, manager: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(manager, **options)
        self._connections = connections
        #: The last request's body, if it has not come to its end.
        self._body: Any = None
        #: Bytes of heads since none was left to answer.
        self._ahead = 0
        self._is_answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.enter(self, transport)  # type: ignore[arg-type]  # it is one that can write

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._body is None:
            self._ahead += len(data)
        known = self._request_count
        super().data_received(data)
        if self._request_count > known and self._messages:
            self._body = self._messages[-1][1]
        self._note()
        if self._ahead > MOST_HEAD + len(data) and self.transport is not None:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._note()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._note()

    async def _handle_request(self, *given: Any) -> Any:
        self._is_answering = True
        self._note()
        try:
            return await super()._handle_request(*given)
        finally:
            self._is_answering = False
            if not self._messages:
                self._ahead = 0
            self._note()

    def _note(self) -> None:
        self._connections.note(self, self._wait())

    def _wait(self) -> Wait | None:
        if self._body is not None and self._body.is_eof():
            self._body = None
        if self.writing_paused:
            return Wait.READER
        if self._body is not None:
            return Wait.BODY
        if self._is_answering or self._messages:
            return None
        return Wait.HEAD if self._ahead else Wait.IDLE

    def log_exception(self, *given: Any, **more: Any) -> None:
        """What is no HTTP, and who goes too soon, is the client's affair: nothing in the log."""
        if not isinstance(more.get("exc_info"), _CLIENTS):
            super().log_exception(*given, **more)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if not isinstance(exc, _CLIENTS):
            return super().handle_error(request, status, exc, message)
        return refusal(status, "this is no HTTP request that this server understands")


def refusal(status: int, what: str) -> web.Response:
    """For what does not get as far as the guard; the connection ends with it."""
    response = problem(status, what, {**HEADERS})
    response.force_close()
    return response
