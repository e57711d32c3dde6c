"""In front of every page: who may look, how often, and the headers of every answer. Errors are one line of JSON."""

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from creditstream.config.hosts import is_loopback
from creditstream.config.settings import Settings
from creditstream.web.access.asking import client_of, field, has_gone, is_foreign, is_here, is_secure, wants_html
from creditstream.web.access.login import COOKIE, SESSION_SECONDS, Login
from creditstream.web.access.rate_limit import Buckets

log = logging.getLogger(__name__)

MOST_BYTES = 16 * 1024
"""Of a request's body: the only one that is read is the login's."""
HEADERS = {
    "Server": "creditstream",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: For supervisors and monitoring; they show no order.
_OPEN = ("/health/", "/metrics")
#: What the login page is made of.
_BEFORE_LOGIN = ("/static/", "/login")
#: Seconds of the rate at once: 500 pages behind one proxy come back together when a worker restarts.
_BURST = 10
_LOGIN_TRIES = 5
_LOGIN_MINUTE = 60.0
_FORM = "application/x-www-form-urlencoded"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """All requests of the worker's web server pass here first."""

    def __init__(self, settings: Settings) -> None:
        self.login = Login(settings.web_token) if settings.web_token else None
        self._local_only = is_loopback(settings.web_bind) and self.login is None
        rate = settings.web_rate
        self._requests = Buckets(rate, _BURST * rate) if rate else None
        self._tries = Buckets(_LOGIN_TRIES / _LOGIN_MINUTE, _LOGIN_TRIES)

    def install(self, application: web.Application) -> None:
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request, handler)

        application.middlewares.append(guarded)
        application.on_response_prepare.append(_add_headers)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path.startswith(_OPEN):
                return await handler(request)
            return self._refusal(request) or await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allow = error.headers.get(hdrs.ALLOW)
            headers: dict[str, str] | None = {hdrs.ALLOW: allow} if allow else None
            return problem(error.status, _WORDS.get(error.status, error.reason.lower()), headers)
        except (web.RequestPayloadError, HttpProcessingError):
            return problem(400, "the request's body is not what its headers say")
        except Exception as error:
            if isinstance(error, ConnectionError) and has_gone(request):
                return problem(400, "nobody reads this any more")
            log.exception("the web server failed at %s", request.path, exc_info=error)
            return problem(500, "the worker failed at this; its log says why")

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        """What keeps the request out, or None."""
        if self._local_only and not is_here(request.host):
            # Another site's name that leads to this machine (DNS rebinding) would read the orders otherwise.
            return problem(403, "without a login this page is for this machine only: use http://localhost")
        wait = self._requests.take(client_of(request), time.monotonic()) if self._requests else 0.0
        if wait:
            return too_many(wait)
        if self.login is None or request.path.startswith(_BEFORE_LOGIN):
            return None
        return self._identify(request, self.login)

    def _identify(self, request: web.Request, login: Login) -> web.StreamResponse | None:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer":
            wait = self.wait_after_failures(request)
            if wait:
                return too_many(wait)
            if login.accepts(token.strip()):
                return None
            self.count_failure(request)
            return problem(401, "the token is wrong", {hdrs.WWW_AUTHENTICATE: "Bearer"})
        if self.session_left(request) is not None:
            return None
        if wants_html(request):
            return web.Response(status=303, headers={hdrs.LOCATION: "/login"})
        return problem(401, "a login is needed: POST /login, or a bearer token", {hdrs.WWW_AUTHENTICATE: "Bearer"})

    def session_left(self, request: web.Request) -> float | None:
        """Seconds until the request's session ends; None: there is none."""
        now = time.time()
        end = self.login.session_end(request.cookies.get(COOKIE, ""), now) if self.login else None
        return None if end is None else end - now

    def wait_after_failures(self, request: web.Request) -> float:
        """Seconds for which this client may not try another token."""
        return self._tries.wait(client_of(request), time.monotonic())

    def count_failure(self, request: web.Request) -> None:
        self._tries.take(client_of(request), time.monotonic())

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """A session for the right token, from our own form only."""
        if self.login is None:
            return problem(404, "there is no login here")
        if is_foreign(request):
            return problem(403, "this form belongs to another site")
        if wait := self.wait_after_failures(request):
            return too_many(wait)
        if request.content_type != _FORM:
            return problem(415, f"the token comes in a form: {_FORM}")
        if not self.login.accepts(field(await request.read(), "token").strip()):
            self.count_failure(request)
            if wants_html(request, methods=("POST",)):
                return web.Response(status=303, headers={hdrs.LOCATION: "/login?failed=1"})
            return problem(401, "the token is wrong")
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        response.set_cookie(
            COOKIE,
            self.login.new_session(time.time()),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=is_secure(request),
        )
        return response

    def log_out(self, request: web.Request) -> web.StreamResponse:
        if self.login is None:
            return problem(404, "there is no login here")
        if is_foreign(request):
            return problem(403, "this form belongs to another site")
        response = web.Response(status=303, headers={hdrs.LOCATION: "/login"})
        response.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=is_secure(request))
        return response


_WORDS = {
    400: "this request cannot be understood",
    404: "there is nothing here",
    405: "this address does not take that method",
    413: f"a request's body has {MOST_BYTES} bytes at most",
}


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def problem(status: int, what: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as the JSON API gives it."""
    return web.json_response({"error": what}, status=status, headers=headers)


def too_many(wait: float) -> web.Response:
    return problem(429, "too many requests: slower, please", {hdrs.RETRY_AFTER: str(int(wait) + 1)})
