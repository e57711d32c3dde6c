"""What every view is: how it is called, and what it reaches of the worker that serves it."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from aiohttp import web
from faust.web import Response, View

from creditstream.metrics.prometheus import Exposition
from creditstream.web.access.guard import Guard
from creditstream.web.assembly import WebParts

#: A view's function: gets the view, the request, and what the path names. Its answer is the request's.
Handler = Callable[..., Awaitable[web.StreamResponse | Response]]


class Runtime(Protocol):
    """What the worker shows of itself."""

    @property
    def web(self) -> WebParts: ...

    @property
    def exposition(self) -> Exposition | None: ...

    @property
    def stuck(self) -> list[str]: ...

    def notes(self) -> list[str]: ...


class Host(Protocol):
    """The app that serves these routes."""

    @property
    def guard(self) -> Guard: ...

    @property
    def runtime(self) -> Runtime: ...

    def page(self, path: str, *, base: type[View]) -> Any:
        """Faust's decorator: serves a view. Its types are of Faust's own requests, which are aiohttp's."""
        ...


class Straight(View):
    """A view whose method is called straight away: Faust's way there asks sensors, which nobody here reads."""

    @property
    def host(self) -> Host:
        """Its app, as the views know it."""
        return cast(Host, self.app)

    @property
    def parts(self) -> WebParts:
        """What the answers come from."""
        return self.host.runtime.web

    async def dispatch(self, request: web.Request) -> web.StreamResponse | Response:
        return await cast(Handler, self.methods[request.method.lower()])(request, **request.match_info)
