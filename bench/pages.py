"""Open pages and requests, as a process of its own: `python -m bench.pages URL PAGES RATE`, until SIGTERM.

Pages take what comes and do nothing with it, at as little cost as can be: on a real day they are other machines.
Prints what was seen as one line of JSON at the end.
"""

import asyncio
import signal
import statistics
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import msgspec
import uvloop

_PATHS = ("/stats", "/orders?limit=50", "/orders?status=approved", "/orders?customer=c-1")


class Seen(msgspec.Struct):
    """`delays_ms`: from commit to arrival on a page, median and 99th percentile; `bytes`: of all pages."""

    changes: int = 0
    delays_ms: tuple[float, float] = (0.0, 0.0)
    requests: int = 0
    refused: int = 0
    dropped: int = 0
    bytes: int = 0


class _Page(asyncio.BufferedProtocol):
    """One open stream, compressed as browsers have it; all read into the same piece of memory."""

    _into = memoryview(bytearray(1 << 18))

    def __init__(self, seen: Seen, request: bytes) -> None:
        self._seen, self._request = seen, request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._into

    def buffer_updated(self, nbytes: int) -> None:
        self._seen.bytes += nbytes

    def connection_lost(self, exc: Exception | None) -> None:
        self._seen.dropped += 1


async def _watch(session: aiohttp.ClientSession, delays: list[float]) -> None:
    """One page in plain text."""
    async with session.get("/events", headers={"Accept-Encoding": "identity"}) as answer:
        async for line in answer.content:
            if line.startswith(b'data: {"order_id"'):
                committed = datetime.fromisoformat(msgspec.json.decode(line[6:])["updated_at"])
                delays.append((datetime.now(UTC) - committed).total_seconds())


async def _ask(session: aiohttp.ClientSession, rate: float, seen: Seen) -> None:
    """`rate` requests a second, each as soon as it is due."""
    clock = asyncio.get_running_loop().time
    due, running = clock(), set[asyncio.Task[None]]()
    while True:
        task = asyncio.create_task(_request(session, _PATHS[seen.requests % len(_PATHS)], seen))
        running.add(task)
        task.add_done_callback(running.discard)
        seen.requests += 1
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - clock()))


async def _request(session: aiohttp.ClientSession, path: str, seen: Seen) -> None:
    try:
        async with session.get(path) as answer:
            await answer.read()
            seen.refused += answer.status != 200
    except aiohttp.ClientError:
        seen.refused += 1


async def _main(url: str, pages: int, rate: float) -> Seen:
    seen, delays, loop = Seen(), list[float](), asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    place = urlsplit(url)
    request = f"GET /events HTTP/1.1\r\nHost: {place.netloc}\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    for _ in range(pages):
        await loop.create_connection(lambda: _Page(seen, request), place.hostname, place.port)
    connector, endless = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout()
    async with aiohttp.ClientSession(url, connector=connector, timeout=endless) as session:
        tasks = [asyncio.create_task(each) for each in (_watch(session, delays), _ask(session, rate, seen))]
        print("ready", flush=True)
        await over.wait()
        dropped = seen.dropped
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    seen.dropped, seen.changes = dropped, len(delays)
    if len(delays) > 1:
        cuts = statistics.quantiles(delays, n=100, method="inclusive")
        seen.delays_ms = round(cuts[49] * 1e3, 1), round(cuts[98] * 1e3, 1)
    return seen


if __name__ == "__main__":
    print(msgspec.json.encode(uvloop.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))).decode())
