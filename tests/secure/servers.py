"""TLS in front of a server that has none, and the risk API behind TLS and a secret; each in a thread of its own."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from creditstream.simulation.risk_simulator import Simulator
from devtools.stack.ports import HOST
from tests.secure.certificates import Pair

_WITHIN = 60.0


def server_context(pair: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@contextmanager
def in_thread(serve: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[Any]:
    """What `serve` gives, served until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tests.secure.servers")
    thread.start()
    manager = serve()
    try:
        served = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(_WITHIN)
        try:
            yield served
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(_WITHIN)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_WITHIN)
        loop.close()


@asynccontextmanager
async def tls_before(port: int, pair: Pair) -> AsyncIterator[int]:
    """The port of a TLS end that passes what it hears on to `port`. The stack's own server is started without TLS."""
    links: set[asyncio.Task[None]] = set()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        links.add(task)
        task.add_done_callback(links.discard)
        with contextlib.suppress(OSError):
            behind, ahead = await asyncio.open_connection(HOST, port)
            ways = [asyncio.ensure_future(way) for way in (_pass(reader, ahead), _pass(behind, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                ahead.close()
                writer.close()

    server = await asyncio.start_server(link, HOST, 0, ssl=server_context(pair))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*links]:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


class LockedRiskApi:
    """The simulator over HTTPS; without the secret it answers 401, and counts that."""

    def __init__(self, pair: Pair, secret: str) -> None:
        self.secret, self.turned_away = secret, 0
        self._pair, self._simulator = pair, Simulator()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0, ssl_context=server_context(self._pair))
        await site.start()
        try:
            yield f"https://{HOST}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.secret}":
            self.turned_away += 1
            return web.Response(status=401)
        key = request.headers.get("Idempotency-Key", "")
        answer = self._simulator.handle(request.method, request.path, key, await request.read())
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)


def write(file: Path, secret: str) -> Path:
    """As Kubernetes does: the new content is there at once, never half."""
    part = file.with_suffix(".part")
    part.write_text(secret + "\n")
    part.replace(file)
    return file
