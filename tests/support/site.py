"""The web server as the worker has it, in the test's own loop, with pages and a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.web.access.connections import Connections
from creditstream.web.access.guard import Guard
from creditstream.web.access.server import Runner
from devtools.wait import wait_for_async

_LARGE = 8 * 1024 * 1024


class Site:
    """A server as the worker has it, with pages of the test's own."""

    def __init__(self, port: int, connections: Connections) -> None:
        self.port, self.connections = port, connections
        self.now = 0.0
        #: Requests that the worker has work with, until it is done.
        self.served = 0
        self.done = asyncio.Event()

    async def enter(self, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that has sent `data` and takes little at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
        writer.write(data)
        return reader, writer

    async def until(self, count: int) -> None:
        await wait_for_async(lambda: asyncio.sleep(0, len(self.connections) == count), what=f"{count} are open")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.connections.look()


@asynccontextmanager
async def serving(limit: int = 65_536) -> AsyncIterator[Site]:
    app = web.Application(client_max_size=16 * 1024)
    guard = Guard(Settings(web_token=Secret("a-long-enough-token"), web_rate=0))
    guard.install(app)

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * _LARGE)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    async def work(_: web.Request) -> web.Response:
        site.served += 1
        await site.done.wait()
        return web.Response()

    app.router.add_get("/static/large", large)
    app.router.add_get("/static/work", work)
    app.router.add_get("/health/live", page)
    app.router.add_post("/login", guard.log_in)
    site: Site
    connections = Connections(0, lambda: site.now)
    runner = Runner(app, connections, access_log=None, shutdown_timeout=1.0, lingering_time=1.0)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    site = Site(0, connections)
    await listener.start()
    site.port = listener.port
    connections.open(limit)
    try:
        yield site
    finally:
        await runner.cleanup()
        connections.close()
