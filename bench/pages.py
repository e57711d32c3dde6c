"""Open pages and requests, as a process of its own: `python -m bench.pages URL PAGES RATE`, until SIGTERM.

Pages take what comes and do nothing with it, at as little cost as can be: on a real day they are other machines, which
is why the bytes are left to the kernel and the requests are not aiohttp's.
Prints what was seen as one line of JSON at the end.
"""

import asyncio
import re
import signal
import socket
import statistics
import sys
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from httptools import HttpResponseParser

_PATHS = ("/stats", "/orders?limit=50", "/orders?status=approved", "/orders?customer=c-1")
#: When the order of a status event was committed.
_COMMITTED = re.compile(rb'data: \{"order_id".*?"updated_at":"([^"]+)"')

#: Host and port.
Place = tuple[str, int]


class Seen(msgspec.Struct):
    """`delays_ms`: from commit to arrival on a page, median and 99th percentile; `bytes`: of all pages."""

    changes: int = 0
    delays_ms: tuple[float, float] = (0.0, 0.0)
    requests: int = 0
    refused: int = 0
    dropped: int = 0
    bytes: int = 0


class _Page:
    """One open stream, compressed as browsers have it. Its bytes are counted and left to the kernel (MSG_TRUNC)."""

    _room = memoryview(bytearray(1 << 20))

    def __init__(self, seen: Seen, place: Place, request: bytes) -> None:
        self._seen = seen
        self._socket = socket.create_connection(place)
        self._socket.sendall(request)
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    def _take(self) -> None:
        try:
            taken = self._socket.recv_into(self._room, flags=socket.MSG_TRUNC)
        except BlockingIOError:
            return
        except OSError:
            taken = 0
        self._seen.bytes += taken
        if not taken:
            self._seen.dropped += 1
            asyncio.get_running_loop().remove_reader(self._socket)


class _Watch(asyncio.Protocol):
    """One page in plain text, which looks at the clock for each change that it gets."""

    def __init__(self, delays: list[float], request: bytes) -> None:
        self._delays, self._request, self._rest = delays, request, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = datetime.now(UTC)
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        for committed in _COMMITTED.findall(whole):
            self._delays.append((now - datetime.fromisoformat(committed.decode())).total_seconds())


class _Asker(asyncio.Protocol):
    """A connection that asks the JSON API one thing after the other."""

    def __init__(self, seen: Seen, idle: list["_Asker"]) -> None:
        self._seen, self._idle = seen, idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> None:
        self._parser = HttpResponseParser(self)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._seen.refused += self._parser.get_status_code() != 200
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        else:
            self._seen.refused += 1


async def _ask(place: Place, rate: float, seen: Seen) -> None:
    """`rate` requests a second, each as soon as it is due, on as many connections as have no answer yet."""
    loop, idle = asyncio.get_running_loop(), list[_Asker]()
    due = loop.time()
    while True:
        if not idle:
            idle.append((await loop.create_connection(lambda: _Asker(seen, idle), *place))[1])
        idle.pop().ask(_get(place, _PATHS[seen.requests % len(_PATHS)]))
        seen.requests += 1
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - loop.time()))


def _get(place: Place, path: str, *headers: str) -> bytes:
    host, port = place
    return "\r\n".join((f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *headers, "", "")).encode()


async def _main(url: str, pages: int, rate: float) -> Seen:
    seen, delays, loop = Seen(), list[float](), asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    split = urlsplit(url)
    place = (split.hostname or "", split.port or 80)
    zipped, plain = _get(place, "/events", "Accept-Encoding: gzip"), _get(place, "/events")
    for _ in range(pages):
        _Page(seen, place, zipped)  # the event loop keeps it
    await loop.create_connection(lambda: _Watch(delays, plain), *place)
    asking = asyncio.create_task(_ask(place, rate, seen))
    print("ready", flush=True)
    await over.wait()
    asking.cancel()
    seen.changes = len(delays)
    if len(delays) > 1:
        cuts = statistics.quantiles(delays, n=100, method="inclusive")
        seen.delays_ms = round(cuts[49] * 1e3, 1), round(cuts[98] * 1e3, 1)
    return seen


if __name__ == "__main__":
    print(msgspec.json.encode(uvloop.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))).decode())
