"""Cache-aside over Redis for the dashboard's queries: each question is asked once at a time, and Redis may be away."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

import msgspec
from redis.exceptions import ResponseError

from creditstream.settings import Settings
from creditstream.web.held import HOLD, Held
from creditstream.web.redis_client import open_redis, refused_for

_TIMEOUT = 0.1
"""Seconds for one step (connect, or an answer). A cache that is slower than the query is none."""
_PAUSE = 5.0
"""Seconds in which a Redis that failed is left alone."""
_PREFIX = "creditstream:"
_FAILURES = (Exception,)
"""Nobody needs Redis: whatever its client raises is Redis's failure, named once in the log, and ends nothing. Seen: a
RuntimeError of uvloop about a connection that was closed at that moment, which ended a worker that was starting.
"""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Load = Callable[[], Awaitable[Any]]
Check = Callable[[bytes], Any]
_any_json = msgspec.json.Decoder().decode
_NAMED = re.compile(r"[A-Z]{2,16}(?= )")


class _Way:
    """Whether Redis does one of two things for us, reading or writing: a replica does the first and not the second."""

    def __init__(self, clock: Callable[[], float], lost: str, found: str) -> None:
        self._clock, self._lost, self._found = clock, lost, found
        self._asleep_until = float("-inf")
        self.is_away = False
        self._refusal: str | None = None

    @property
    def rests(self) -> bool:
        return self._clock() < self._asleep_until

    def works(self) -> None:
        if self.is_away:
            self.is_away, self._refusal = False, None
            _log.info(self._found)

    def fails(self, error: Exception) -> None:
        """One warning while it is away; one more when it turns out that it, or we, are refused: that stays so."""
        self._asleep_until = self._clock() + _PAUSE
        refused = refused_for(error)
        if not self.is_away or refused not in (None, self._refusal):
            self.is_away, self._refusal = True, refused
            _log.warning(self._lost, refused or _kind(error))


class Cache:
    """Answers are JSON bytes. Redis away costs at most 2 x 0.1 s once in 5 s, and one warning until it is back."""

    def __init__(self, redis: Any, clock: Callable[[], float] = time.monotonic, hold: float = HOLD) -> None:
        """`hold`: seconds for which an answer is given again without a question to Redis."""
        self._redis = redis
        self._flights: dict[str, asyncio.Task[bytes]] = {}
        self._held = Held(clock, hold)
        self._reads = _Way(clock, "Redis is away (%s): PostgreSQL answers the dashboard meanwhile", "Redis is back")
        self._writes = _Way(
            clock,
            "Redis keeps no answers (%s): does CREDITSTREAM_REDIS_URL lead to a replica, or is it full? "
            "PostgreSQL answers the dashboard meanwhile",
            "Redis keeps answers again",
        )
        #: Answers by where they came from: hit, miss, or error while Redis is away; for the metrics.
        self.lookups: Counter[str] = Counter()

    @classmethod
    def open(cls, settings: Settings, clock: Callable[[], float] = time.monotonic) -> Self:
        """Connects at the first question. No URL: no cache. Raises StartError when the URL is none."""
        if not settings.redis_url:
            return cls(None, clock)
        return cls(open_redis(settings, _TIMEOUT), clock)

    async def greet(self) -> None:
        """At the start: a certificate or a password that is refused is in the log from there on, not at first use.

        A Redis that is only slow, or not there yet, is the first question's affair.
        """
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(2 * _TIMEOUT):
                await self._redis.ping()
        except _FAILURES as error:
            if refused_for(error):
                self._reads.fails(error)

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._redis:
            with suppress(*_FAILURES):
                await self._redis.aclose()

    async def get_or_load(self, key: str, ttl: float, load: Load, check: Check = _any_json) -> bytes:
        """The JSON of what `load` gives, at most `ttl` + 0.25 seconds old. Raises what `load` raises; keeps no failure.

        Whoever asks while the same key is being looked up, or a moment later, gets that one's answer; one that goes
        away stops nobody's. What Redis gives is anybody's: bytes of which `check` raises ValueError are not there.
        """
        answer = self._held.get(key)
        if answer is not None:
            return answer
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._look_up(key, ttl, load, check))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: str, flight: asyncio.Task[bytes]) -> None:
        del self._flights[key]
        if not flight.cancelled() and not flight.exception():  # seen: all who asked may be gone by now
            self._held.keep(key, flight.result())

    async def _look_up(self, key: str, ttl: float, load: Load, check: Check) -> bytes:
        kept = await self._ask(self._reads, lambda redis: redis.get(_PREFIX + key))
        if isinstance(kept, bytes) and _passes(kept, check):
            self.lookups["hit"] += 1
            return kept
        if self._redis is not None:
            self.lookups["error" if self._reads.is_away else "miss"] += 1
        answer = _encode(await load())
        if not self._reads.is_away:
            await self._ask(self._writes, lambda redis: redis.set(_PREFIX + key, answer, px=max(1, round(ttl * 1000))))
        return answer

    async def _ask(self, way: _Way, command: Callable[[Any], Awaitable[Any]]) -> Any:
        """Redis's answer, or None while it does not do this."""
        if self._redis is None or way.rests:
            return None
        try:
            async with asyncio.timeout(2 * _TIMEOUT):
                answer = await command(self._redis)
        except _FAILURES as error:
            if str(error).startswith("WRONGTYPE"):  # somebody's value under this key; ours takes its place
                return None
            way.fails(error)
            # The address may lead to another server by now: a replica that was the master until a moment ago.
            with suppress(*_FAILURES):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            return None
        way.works()
        return answer


def _passes(kept: bytes, check: Check) -> bool:
    try:
        check(kept)
    except (ValueError, msgspec.MsgspecError):
        return False
    return True


def _kind(error: Exception) -> str:
    """As Redis names it, such as READONLY or OOM; of what it did not name, the exception's name. Never a value."""
    word = _NAMED.match(str(error)) if isinstance(error, ResponseError) else None
    return word[0] if word else type(error).__name__
