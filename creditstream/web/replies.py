"""Answers with a tag: who has this very answer already gets it confirmed in a few bytes."""

from functools import lru_cache
from hashlib import blake2b

from aiohttp import hdrs, web

from creditstream.web.access.guard import problem
from creditstream.web.static_files import assets

#: Kept by browsers, and asked for again each time with its tag: an upgrade shows at once.
CHECK = "private, no-cache"
#: The page's files have no data in them.
STATIC = "public, max-age=300"


def json_reply(request: web.Request, body: bytes) -> web.Response:
    """The body, which is JSON, or that it is still what it was."""
    tag = _tag(body)
    headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: CHECK, hdrs.VARY: hdrs.ACCEPT}
    if _has(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


@lru_cache(maxsize=64)
def _tag(body: bytes) -> str:
    """Kept, because the cache gives many who ask in the same moment the very same answer."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def asset_reply(request: web.Request, name: str, cache: str) -> web.Response:
    """A file of the page, or 404. `cache`: how long browsers keep it."""
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


def _has(request: web.Request, tag: str) -> bool:
    given = request.headers.get(hdrs.IF_NONE_MATCH, "")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in given.split(","))
