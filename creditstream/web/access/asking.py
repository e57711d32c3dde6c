"""What a request says of who asks: from where, by which name, in which form. It is looked at, not believed."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import parse_qs

from aiohttp import hdrs, web
from yarl import URL

from creditstream.config.hosts import is_loopback

_MOST_FIELDS = 8


def field(form: bytes, name: str) -> str:
    """Read here: aiohttp's reader of forms raises other errors for each way to send nonsense."""
    try:
        fields = parse_qs(form.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise web.HTTPBadRequest from None
    return fields.get(name, [""])[0]


def has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def is_foreign(request: web.Request) -> bool:
    """Whether another site's page sent this (CSRF). Browsers say where a POST comes from; programs need not."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is not None and origin.partition("://")[2] != request.host


@lru_cache(maxsize=256)
def is_here(authority: str) -> bool:
    """Whether what a request gives as its host, with a port or without, is this machine's own name."""
    try:
        return is_loopback(URL.build(authority=authority).host or "")
    except ValueError:
        return False


def is_secure(request: web.Request) -> bool:
    """Whether the cookie may travel over TLS only: everywhere but on this machine."""
    return request.secure or not is_here(request.host)


def wants_html(request: web.Request, methods: Sequence[str] = ("GET", "HEAD")) -> bool:
    """Whether a person's browser asks for a page, rather than a program for data."""
    return request.method in methods and "text/html" in request.headers.get(hdrs.ACCEPT, "")


def client_of(request: web.Request) -> str:
    """Who asks, for counting: the address of the other end; of an IPv6 address the network, which one owner has."""
    remote = request.remote or ""
    if ":" not in remote:
        return remote
    try:
        return str(ipaddress.ip_network((remote.partition("%")[0], 64), strict=False))
    except ValueError:
        return remote
