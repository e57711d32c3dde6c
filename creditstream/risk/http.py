"""HTTP/1.1 to one address: POST a small body, get a small answer. A sixth of aiohttp's CPU (docs/adr/0014).

One request at a time on a connection (`creditstream.risk.connection`); connections are kept for a moment and used
again; no redirects, cookies, proxies, compression, pipelining or repeats.
"""

import asyncio
import socket
import ssl
from collections import deque
from urllib.parse import urlsplit

from creditstream.risk.connection import Answer, Connection

#: An idle connection is ours to close before the server does: Node's servers hang up after 5 s, others later.
_KEEPALIVE = 4.0


class CertificateRefused(ConnectionError):
    """The server's certificate is not what was asked for; the cause says why."""


class UnknownInDNS(ConnectionError):
    """The host's name has no address."""


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
        self._free: deque[Connection] = deque()
        self._open: set[Connection] = set()

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

    def _taken(self, now: float) -> Connection | None:
        """The one that was used last; those that were free for too long are closed."""
        while self._free and self._free[0].free_since < now - _KEEPALIVE:
            self._close(self._free.popleft())
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
            self._open.discard(connection)
        return None

    async def _connected(self, ends: float) -> Connection:
        try:
            async with asyncio.timeout_at(ends):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._max_body), self._host, self._port, ssl=self._context
                )
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(self._host) from error
        except socket.gaierror as error:
            raise UnknownInDNS(self._host) from error
        self._open.add(connection)
        return connection

    def _give_back(self, connection: Connection, now: float) -> None:
        if connection.usable:
            connection.free(now)
            self._free.append(connection)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
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
