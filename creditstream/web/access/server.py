"""Faust's web server as this program wants it: without Faust's own pages, guarded, its connections bounded."""

from typing import Any, ClassVar

from aiohttp import hdrs, web
from faust.web.drivers.aiohttp import Web

from creditstream.web.access.connections import Connection, Connections, refusal
from creditstream.web.access.descriptors import raise_limit
from creditstream.web.access.guard import Handler

#: Seconds that an answer under way gets when the worker stops, and as many again once it was told to end.
_END_WITHIN = 2.0
#: Seconds for which the rest of a body is read and thrown away that its answer did not wait for.
_LINGER = 2.0
_CONTINUE = "100-continue"


class _Server(web.Server):
    """Makes our connections."""

    def __init__(self, connections: Connections, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._ours = connections

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._ours, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp has no way to name another class for connections."""

    __slots__ = ("_connections",)

    def __init__(self, app: web.Application, connections: Connections, **options: Any) -> None:
        super().__init__(app, **options)
        self._connections = connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            self._connections,
            _as_expected(made.request_handler),
            request_factory=made.request_factory,
            loop=made._loop,
            **made._kwargs,
        )


def _as_expected(handle: Handler) -> Handler:
    """aiohttp reads `Expect` before any guard, and quotes what it does not know, which fails when that is no text."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
            return refusal(417, f"nothing but {_CONTINUE} is expected here")
        return await handle(request)

    return checked


class PlainWeb(Web):
    """No pages of Faust's own: `/table` and `/router` show data to anyone who asks."""

    default_blueprints: ClassVar[Any] = []
    production_blueprints: ClassVar[Any] = []
    debug_blueprints: ClassVar[Any] = []
    optional_blueprints: ClassVar[Any] = []

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        app.guard.install(self.web_app)
        self.web_app.on_shutdown.append(lambda _: app.runtime.end_pages())
        settings = app.settings
        self.connections = Connections(settings.risk_concurrency + settings.postgres_pool)
        self._runner = Runner(
            self.web_app,
            self.connections,
            access_log=None,
            shutdown_timeout=_END_WITHIN,
            lingering_time=_LINGER,
        )

    async def start_server(self) -> None:
        self.connections.open(raise_limit())
        await super().start_server()

    async def stop_server(self) -> None:
        await super().stop_server()
        self.connections.close()
