"""The routes of interface.md: the page and its files, the JSON API, live changes, login, health."""

from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

from aiohttp import hdrs, web
from faust.web import View
from yarl import URL

from creditstream.errors import StoreUnavailable
from creditstream.main import app
from creditstream.web.access.asking import wants_html
from creditstream.web.access.guard import problem
from creditstream.web.answers.orders import Unknown
from creditstream.web.answers.queries import BadQuery, Query, parse_order_id, parse_query
from creditstream.web.live.event_stream import GZIP_HEADER, RETRY, Block
from creditstream.web.live.open_pages import Page
from creditstream.web.static_files import assets


class Straight(View):
    """A view whose method is called straight away: Faust's way there asks sensors, which nobody here reads."""

    async def dispatch(self, request: Any) -> Any:
        return await self.methods[request.method.lower()](request, **request.match_info)


_page = partial(app.page, base=Straight)
#: Kept by browsers, and asked for again each time with its tag: an upgrade shows at once.
_CHECK = "private, no-cache"
#: The page's files have no data in them.
_STATIC = "public, max-age=300"


@_page("/")
async def index(_self: Any, request: Any) -> Any:
    """The page."""
    return _asset(request, "index.html", _CHECK)


@_page("/static/{name:.+}")
async def static(_self: Any, request: Any, name: str) -> Any:
    """What the page is made of; only names that were there at the start."""
    return _asset(request, name, _STATIC)


@_page("/orders")
async def orders(_self: Any, request: Any) -> Any:
    """A page of the list, newest first, from the read replica."""
    try:
        return _json(request, await app.runtime.web.dashboard.orders(_query(request.rel_url)))
    except BadQuery as error:
        return problem(400, str(error))
    except StoreUnavailable:
        return problem(503, "the read replica does not answer", {hdrs.RETRY_AFTER: "2"})


@_page("/orders/{order_id}")
async def order(_self: Any, request: Any, order_id: str) -> Any:
    """One order, whichever worker is asked; the page for a person's browser."""
    if wants_html(request):
        return _asset(request, "index.html", _CHECK)
    try:
        found = await app.runtime.web.orders.find(parse_order_id(order_id))
    except BadQuery as error:
        return problem(400, str(error))
    except Unknown:
        return problem(503, "neither the order's worker nor the read replica answers", {hdrs.RETRY_AFTER: "2"})
    return problem(404, "no such order") if found is None else _json(request, found)


@_page("/owned/{order_id}")
async def owned(_self: Any, request: Any, order_id: str) -> Any:
    """For other workers: the order's record in this worker's table."""
    try:
        record = app.runtime.web.owners.own(parse_order_id(order_id))
    except BadQuery as error:
        return problem(400, str(error))
    except StoreUnavailable as error:
        return problem(503, str(error))
    return problem(404, "no such order here") if record is None else _json(request, record)


@_page("/stats")
async def stats(_self: Any, request: Any) -> Any:
    """Today's counts and this worker's numbers."""
    return _json(request, await app.runtime.web.stats.json())


@_page("/events")
class Events(Straight):
    """Live changes as server-sent events."""

    async def head(self, request: Any, **kwargs: Any) -> Any:
        return web.Response(content_type="text/event-stream")

    async def get(self, request: Any, **kwargs: Any) -> Any:
        live = app.runtime.web.live
        if live.pages.full:
            return problem(503, "this worker takes no more open pages now", {hdrs.RETRY_AFTER: "5"})
        zipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no", hdrs.VARY: hdrs.ACCEPT_ENCODING})
        response.content_type = "text/event-stream"
        if zipped:
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        await response.prepare(request)
        await response.write(GZIP_HEADER if zipped else RETRY)
        page = Page(request.transport, gzip=zipped, chunked=request.version >= (1, 1))
        if zipped:
            page.write(Block(RETRY))
        async with live.page(page, request.headers.get("Last-Event-ID")):
            await page.wait(app.guard.session_left(request))
        response.force_close()  # what the page has not read yet is no other answer's to wait behind
        return response


@_page("/login")
class Login(Straight):
    """A form for people: the token becomes a session."""

    async def get(self, request: Any, **kwargs: Any) -> Any:
        return _asset(request, "login.html", _CHECK) if app.guard.login else problem(404, "there is no login here")

    async def post(self, request: Any, **kwargs: Any) -> Any:
        return await app.guard.log_in(request)


@_page("/logout")
class Logout(Straight):
    """Ends the session in this browser."""

    async def post(self, request: Any, **kwargs: Any) -> Any:
        return app.guard.log_out(request)


@_page("/health/live")
async def live(self: Any, _request: Any) -> Any:
    """The event loop answers, no partition is stuck, the group is heard: else it should be restarted."""
    stuck = app.runtime.stuck
    body = {"status": "stuck", "partitions": stuck} if stuck else {"status": "live"}
    return self.json(body, status=503 if stuck else 200)


@_page("/health/ready")
async def ready(self: Any, _request: Any) -> Any:
    """Partitions assigned, tables recovered, Kafka and PostgreSQL answering."""
    problems = await app.runtime.web.readiness.problems()
    state: dict[str, Any] = {"status": "unready", "problems": problems} if problems else {"status": "ready"}
    body = {**state, "notes": app.runtime.notes()}
    return self.json(body, status=503 if problems else 200)


def _json(request: Any, body: bytes) -> Any:
    """With a tag: who has this very answer already gets it confirmed in a few bytes."""
    tag = _tag(body)
    headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: _CHECK, hdrs.VARY: hdrs.ACCEPT}
    if _has(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


@lru_cache(maxsize=256)
def _query(address: URL) -> Query:
    """Kept: pages ask the same again and again. Raises BadQuery."""
    return parse_query(address.query)


@lru_cache(maxsize=64)
def _tag(body: bytes) -> str:
    """Kept, because the cache gives many who ask in the same moment the very same answer."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def _asset(request: Any, name: str, cache: str) -> Any:
    asset = assets().get(name)
    if asset is None:
        return problem(404, "there is nothing here")
    headers = {hdrs.ETAG: asset.tag, hdrs.CACHE_CONTROL: cache, hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"}
    if _has(request, asset.tag):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if asset.compressed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING], body = "gzip", asset.compressed
    charset = "utf-8" if asset.content_type.startswith("text/") else None
    return web.Response(body=body, content_type=asset.content_type, charset=charset, headers=headers)


def _has(request: Any, tag: str) -> bool:
    given = request.headers.get(hdrs.IF_NONE_MATCH, "")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in given.split(","))
