"""The routes of interface.md: the page and its files, the JSON API, live changes, login, health, metrics."""

import asyncio
from functools import lru_cache
from typing import cast

from aiohttp import hdrs, web
from faust.web import Response, View
from yarl import URL

from creditstream.errors import StoreUnavailable
from creditstream.web.access.asking import wants_html
from creditstream.web.access.guard import problem
from creditstream.web.answers.orders import find_order
from creditstream.web.answers.queries import BadQuery, Query, parse_order_id, parse_query
from creditstream.web.live.event_stream import GZIP_HEADER, RETRY, Block
from creditstream.web.live.open_pages import Page
from creditstream.web.replies import CHECK, STATIC, asset_reply, json_reply
from creditstream.web.view import Handler, Host, Straight


async def index(_view: Straight, request: web.Request) -> web.StreamResponse:
    """The page."""
    return asset_reply(request, "index.html", CHECK)


async def static(_view: Straight, request: web.Request, name: str) -> web.StreamResponse:
    """What the page is made of; only names that were there at the start."""
    return asset_reply(request, name, STATIC)


async def orders(view: Straight, request: web.Request) -> web.StreamResponse:
    """A page of the list, newest first, from the read replica."""
    try:
        return json_reply(request, await view.parts.dashboard.orders(_query(request.rel_url)))
    except BadQuery as error:
        return problem(400, str(error))
    except StoreUnavailable:
        return problem(503, "the read replica does not answer", {hdrs.RETRY_AFTER: "2"})


async def order(view: Straight, request: web.Request, order_id: str) -> web.StreamResponse:
    """One order, whichever worker is asked; the page for a person's browser."""
    if wants_html(request):
        return asset_reply(request, "index.html", CHECK)
    try:
        found = await find_order(view.parts.dashboard, parse_order_id(order_id))
    except BadQuery as error:
        return problem(400, str(error))
    except StoreUnavailable:
        return problem(503, "neither the read replica nor the primary answers", {hdrs.RETRY_AFTER: "2"})
    return problem(404, "no such order") if found is None else json_reply(request, found)


async def stats(view: Straight, request: web.Request) -> web.StreamResponse:
    """Today's counts and this worker's numbers."""
    return json_reply(request, await view.parts.stats.json())


class Events(Straight):
    """Live changes as server-sent events."""

    async def head(self, request: web.Request, **kwargs: str) -> web.StreamResponse:
        return web.Response(content_type="text/event-stream")

    async def get(self, request: web.Request, **kwargs: str) -> web.StreamResponse:
        live = self.parts.live
        if live.pages.full:
            return problem(503, "this worker takes no more open pages now", {hdrs.RETRY_AFTER: "5"})
        zipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no", hdrs.VARY: hdrs.ACCEPT_ENCODING})
        response.content_type = "text/event-stream"
        if zipped:
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        await response.prepare(request)
        await response.write(GZIP_HEADER if zipped else RETRY)
        page = Page(cast(asyncio.WriteTransport, request.transport), gzip=zipped, chunked=request.version >= (1, 1))
        if zipped:
            page.write(Block(RETRY))
        async with live.page(page, request.headers.get("Last-Event-ID")):
            await page.wait(self.host.guard.session_left(request))
        response.force_close()  # what the page has not read yet is no other answer's to wait behind
        return response


class Login(Straight):
    """A form for people: the token becomes a session."""

    async def get(self, request: web.Request, **kwargs: str) -> web.StreamResponse:
        if self.host.guard.login is None:
            return problem(404, "there is no login here")
        return asset_reply(request, "login.html", CHECK)

    async def post(self, request: web.Request, **kwargs: str) -> web.StreamResponse:
        return await self.host.guard.log_in(request)


class Logout(Straight):
    """Ends the session in this browser."""

    async def post(self, request: web.Request, **kwargs: str) -> web.StreamResponse:
        return self.host.guard.log_out(request)


async def live(view: Straight, _request: web.Request) -> Response:
    """The event loop answers, no partition is stuck, the group is heard: else it should be restarted."""
    stuck = view.host.runtime.stuck
    body = {"status": "stuck", "partitions": stuck} if stuck else {"status": "live"}
    return view.json(body, status=503 if stuck else 200)


async def ready(view: Straight, _request: web.Request) -> Response:
    """Partitions assigned, tables recovered, Kafka and PostgreSQL answering."""
    problems = await view.parts.readiness.problems()
    state: dict[str, object] = {"status": "unready", "problems": problems} if problems else {"status": "ready"}
    body = {**state, "notes": view.host.runtime.notes()}
    return view.json(body, status=503 if problems else 200)


async def metrics(view: Straight, request: web.Request) -> Response:
    """This worker's metrics for Prometheus, in the format that the scraper asks for, with its exact content type."""
    exposition = view.host.runtime.exposition
    if exposition is None:
        return view.text("the worker is starting", status=503)
    body, content_type = exposition.render(request.headers.get("Accept", ""))
    return view.bytes(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


@lru_cache(maxsize=256)
def _query(address: URL) -> Query:
    """Kept: pages ask the same again and again. Raises BadQuery."""
    return parse_query(address.query)


ROUTES: tuple[tuple[str, type[View] | Handler], ...] = (
    ("/", index),
    ("/static/{name:.+}", static),
    ("/orders", orders),
    ("/orders/{order_id}", order),
    ("/stats", stats),
    ("/events", Events),
    ("/login", Login),
    ("/logout", Logout),
    ("/health/live", live),
    ("/health/ready", ready),
    ("/metrics", metrics),
)


def add_routes(app: Host) -> None:
    """Called once, when the app is made."""
    for path, view in ROUTES:
        app.page(path, base=Straight)(view)
