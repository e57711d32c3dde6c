"""HTTP/1.1 to one address: POST a small body, get a small answer. A sixth of aiohttp's CPU (docs/adr/0014).

The parser is httptools' (llhttp, as in Node and uvicorn). One request at a time on a connection; connections are kept
for a moment and used again; no redirects, cookies, proxies, compression, pipelining or repeats.
"""

import asyncio
import socket
import ssl
from collections import deque
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

#: An idle connection is ours to close before the server does: Node's servers hang up after 5 s, others later.
_KEEPALIVE = 4.0
#: An answer's head: a server that goes on for longer is none.
_MAX_HEAD_BYTES = 64 * 1024
#: What a body may be on the wire, as a multiple of itself: chunks of one byte are six.
_CHUNKS = 8


class CertificateRefused(ConnectionError):
    """The server's certificate is not what was asked for; the cause says why."""


class UnknownInDNS(ConnectionError):
    """The host's name has no address."""


class Answer(NamedTuple):
    """`body` may be longer than asked for: then it is cut off somewhere, and the connection closed."""

    status: int
    body: bytes
    retry_after: str | None


class _Connection(asyncio.Protocol):
    """One connection and the answer that it waits for."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self.answered: asyncio.Future[Answer] | None = None
        self.free_since = 0.0
        self.usable = True
        self._parser: Any = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._body, self._received = b"", 0
        self._retry_after: str | None = None
        self._has_head = self._is_framed = self._is_whole = self._is_double = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by name, only in what they do.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> "asyncio.Future[Answer]":
        if not self.usable:
            raise ConnectionError("closed before it was used")
        self.answered = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
        except RuntimeError as error:  # uvloop's word for a connection that is closed at this moment
            raise ConnectionError("closed before it was used") from error
        return self.answered

    def abort(self) -> None:
        self.usable = False
        self._transport.abort()

    def give_up(self) -> None:
        """The time is up."""
        self._fail(TimeoutError())

    def _fail(self, error: BaseException) -> None:
        self.abort()
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(error)

    def data_received(self, data: bytes) -> None:
        if self.answered is None or self.answered.done():
            self.abort()  # nobody asked: whatever it belongs to, it is not the next answer
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"no HTTP: {type(error).__name__}"))
            return
        if self._is_double:
            self._fail(ConnectionError("two answers to one question"))
        elif self._is_whole:
            self._finish()
        elif self._received > _MAX_HEAD_BYTES + (_CHUNKS * self._max_body if self._has_head else 0):
            self._fail(ConnectionError("an endless answer"))

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self.answered is None or self.answered.done():
            return
        if self._has_head and not self._is_framed and error is None:
            self._finish()  # the end of the connection is the end of the body
        else:
            self.answered.set_exception(error or ConnectionError("closed before the answer was there"))

    # -- called by the parser

    def on_message_begin(self) -> None:
        self._is_double = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_body:
            self.usable, self._is_whole = False, True

    def on_message_complete(self) -> None:
        if self._has_head:
            self.usable = self.usable and self._parser.should_keep_alive()
            self._is_whole = True
        else:
            self._retry_after, self._is_framed = None, False  # 100, 103: the answer is still to come

    def _finish(self) -> None:
        assert self.answered is not None  # noqa: S101 - nothing is parsed unless it is asked for
        self.answered.set_result(Answer(self._parser.get_status_code(), self._body, self._retry_after))

    def free(self, now: float) -> None:
        """The answer was taken; the next one begins anew."""
        self.answered = None
        self.free_since = now
        self._begin()


class HttpClient:
    """Connections to one URL, as many as there are calls at a time. `headers` go with every request."""

    def __init__(
        self, url: str, headers: dict[str, str], *, max_body: int, context: ssl.SSLContext | None = None
    ) -> None:
        """`context`: for https; without one, the system's authorities."""
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._is_tls else 80)
        self._context = (context or ssl.create_default_context()) if self._is_tls else None
        self._max_body = max_body
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        self._head = _lines(f"POST {target} HTTP/1.1", {"Host": host, **headers})
        self._free: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def post(self, body: bytes, headers: dict[str, str], limit: float) -> Answer:
        """The answer, within `limit` seconds. Raises TimeoutError, or OSError when the connection breaks."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + limit
        connection = self._taken(loop.time()) or await self._connected(ends)
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, _lines("", headers), len(body), body)
        timer = loop.call_at(ends, connection.give_up)
        try:
            answer = await connection.send(request)
        except BaseException:
            connection.abort()  # cancelled: what comes now is nobody's
            self._open.discard(connection)
            raise
        finally:
            timer.cancel()
        self._give_back(connection, loop.time())
        return answer

    def _taken(self, now: float) -> _Connection | None:
        """The one that was used last; those that were free for too long are closed."""
        while self._free and self._free[0].free_since < now - _KEEPALIVE:
            self._close(self._free.popleft())
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
            self._open.discard(connection)
        return None

    async def _connected(self, ends: float) -> _Connection:
        try:
            async with asyncio.timeout_at(ends):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._max_body), self._host, self._port, ssl=self._context
                )
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(self._host) from error
        except socket.gaierror as error:
            raise UnknownInDNS(self._host) from error
        self._open.add(connection)
        return connection

    def _give_back(self, connection: _Connection, now: float) -> None:
        if connection.usable:
            connection.free(now)
            self._free.append(connection)
        else:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        connection.abort()
        self._open.discard(connection)

    def close_idle(self) -> None:
        """The next calls have connections of their own."""
        while self._free:
            self._close(self._free.pop())

    async def close(self) -> None:
        """Calls that are still out fail."""
        for connection in tuple(self._open):
            connection.abort()
        self._free.clear()
        self._open.clear()
        await asyncio.sleep(0)  # for the transports to close


def _lines(first: str, headers: dict[str, str]) -> bytes:
    """Header lines. A line break in a value would be another header: refused."""
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if text.count("\r") != len(headers) or text.count("\n") != len(headers):
        raise ValueError("a header's value holds a line break")
    return ((f"{first}\r\n" if first else "") + text).encode("latin-1")
