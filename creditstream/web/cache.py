"""Cache-aside over Redis for the dashboard's queries: each question is asked once at a time, and Redis may be away."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from creditstream.errors import StartError
from creditstream.settings import Settings

_TIMEOUT = 0.1
"""Seconds for one step (connect, or an answer). A cache that is slower than the query is none."""
_PAUSE = 5.0
"""Seconds in which a Redis that failed is left alone."""
_PREFIX = "creditstream:"

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Load = Callable[[], Awaitable[Any]]


class Cache:
    """Answers are JSON bytes. Redis away costs at most 2 x 0.1 s once in 5 s, and one warning until it is back."""

    def __init__(self, redis: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._flights: dict[str, asyncio.Task[bytes]] = {}
        self._asleep_until = float("-inf")
        self._is_away = False
        #: Answers by where they came from: hit, miss, or error while Redis is away; for the metrics.
        self.lookups: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Connects at the first question. No URL: no cache. Raises StartError when the URL is none."""
        if not settings.redis_url:
            return cls(None)
        try:
            redis = Redis.from_url(
                settings.redis_url.reveal(),
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            raise StartError("bad setting CREDITSTREAM_REDIS_URL: not a Redis address") from None
        return cls(redis)

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._redis:
            await self._redis.aclose()

    async def get_or_load(self, key: str, ttl: float, load: Load) -> bytes:
        """The JSON of what `load` gives, at most `ttl` seconds old. Raises what `load` raises; a failure is not kept.

        Whoever asks while the same key is being looked up gets that one's answer; one that goes away stops nobody's.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._look_up(key, ttl, load))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: str, flight: asyncio.Task[bytes]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen: all who asked may be gone by now

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
            self._is_away = False
            _log.info("Redis is back")
        return answer

    def _fail(self, error: Exception) -> None:
        self._asleep_until = self._clock() + _PAUSE
        if not self._is_away:
            self._is_away = True
            _log.warning("Redis is away (%s): PostgreSQL answers the dashboard meanwhile", type(error).__name__)
