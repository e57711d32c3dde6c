"""Cache-aside over Redis for the dashboard's queries: each question is asked once at a time, and Redis may be away."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from creditstream.errors import StartError
from creditstream.settings import Secret, Settings
from creditstream.tls import client_context, refusal
from creditstream.web.held import HOLD, Held

_TIMEOUT = 0.1
"""Seconds for one step (connect, or an answer). A cache that is slower than the query is none."""
_PAUSE = 5.0
"""Seconds in which a Redis that failed is left alone."""
_PREFIX = "creditstream:"

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Load = Callable[[], Awaitable[Any]]


class _CurrentLogin(CredentialProvider):
    """The URL's user and password as they are when a connection opens: a rotation is seen by the next one."""

    def __init__(self, url: Secret) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        current = parse_url(self._url.reveal())
        user, password = current.get("username"), str(current.get("password", ""))
        return (str(user), password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class Cache:
    """Answers are JSON bytes. Redis away costs at most 2 x 0.1 s once in 5 s, and one warning until it is back."""

    def __init__(self, redis: Any, clock: Callable[[], float] = time.monotonic, hold: float = HOLD) -> None:
        """`hold`: seconds for which an answer is given again without a question to Redis."""
        self._redis = redis
        self._clock = clock
        self._flights: dict[str, asyncio.Task[bytes]] = {}
        self._held = Held(clock, hold)
        self._asleep_until = float("-inf")
        self._is_away = False
        self._refusal: str | None = None
        #: Answers by where they came from: hit, miss, or error while Redis is away; for the metrics.
        self.lookups: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, clock: Callable[[], float] = time.monotonic) -> Self:
        """Connects at the first question. No URL: no cache. Raises StartError when the URL is none."""
        if not settings.redis_url:
            return cls(None, clock)
        return cls(_redis(settings), clock)

    async def greet(self) -> None:
        """At the start: a certificate or a password that is refused is in the log from there on, not at first use.

        A Redis that is only slow, or not there yet, is the first question's affair.
        """
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(2 * _TIMEOUT):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            if _refusal(error):
                self._fail(error)

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._redis:
            await self._redis.aclose()

    async def get_or_load(self, key: str, ttl: float, load: Load) -> bytes:
        """The JSON of what `load` gives, at most `ttl` + 0.25 seconds old. Raises what `load` raises; keeps no failure.

        Whoever asks while the same key is being looked up, or a moment later, gets that one's answer; one that goes
        away stops nobody's.
        """
        answer = self._held.get(key)
        if answer is not None:
            return answer
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._look_up(key, ttl, load))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: str, flight: asyncio.Task[bytes]) -> None:
        del self._flights[key]
        if not flight.cancelled() and not flight.exception():  # seen: all who asked may be gone by now
            self._held.keep(key, flight.result())

    async def _look_up(self, key: str, ttl: float, load: Load) -> bytes:
        kept = await self._ask(lambda redis: redis.get(_PREFIX + key))
        self._count(kept)
        if isinstance(kept, bytes):
            return kept
        answer = _encode(await load())
        await self._ask(lambda redis: redis.set(_PREFIX + key, answer, px=max(1, round(ttl * 1000))))
        return answer

    def _count(self, kept: Any) -> None:
        if self._redis is not None:
            self.lookups["hit" if isinstance(kept, bytes) else "error" if self._is_away else "miss"] += 1

    async def _ask(self, command: Callable[[Any], Awaitable[Any]]) -> Any:
        """Redis's answer, or None while it is away."""
        if self._redis is None or self._clock() < self._asleep_until:
            return None
        try:
            async with asyncio.timeout(2 * _TIMEOUT):
                answer = await command(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            return None
        if self._is_away:
            self._is_away, self._refusal = False, None
            _log.info("Redis is back")
        return answer

    def _fail(self, error: Exception) -> None:
        """One warning while it is away; one more when it turns out that it, or we, are refused: that stays so."""
        self._asleep_until = self._clock() + _PAUSE
        refused = _refusal(error)
        if not self._is_away or refused not in (None, self._refusal):
            self._is_away, self._refusal = True, refused
            why = refused or type(error).__name__
            _log.warning("Redis is away (%s): PostgreSQL answers the dashboard meanwhile", why)


def _refusal(error: Exception) -> str | None:
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "it refuses our user or password: look at CREDITSTREAM_REDIS_URL"
    reason = refusal(error)
    return f"{reason}: look at CREDITSTREAM_REDIS_URL and CREDITSTREAM_REDIS_SSL_CAFILE" if reason else None


def _redis(settings: Settings) -> Redis:
    try:
        options: dict[str, Any] = {**parse_url(settings.redis_url.reveal())}
    except ValueError:
        raise StartError("bad setting CREDITSTREAM_REDIS_URL: not a Redis address") from None
    if any([options.pop("username", ""), options.pop("password", "")]):
        options["credential_provider"] = _CurrentLogin(settings.redis_url)
    if settings.redis_ssl_cafile:
        client_context("CREDITSTREAM_REDIS_SSL", settings.redis_ssl_cafile)  # now, and in words
        options["ssl_ca_certs"] = settings.redis_ssl_cafile
    options |= {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    return Redis.from_pool(ConnectionPool(**options))
