"""Redis hangs up between the connect and the first word: uvloop raises a RuntimeError, which no Redis error is."""

import asyncio
from types import SimpleNamespace
from typing import Any

from creditstream.web.answers.cache import Cache

#: As seen on 2026-11-29 in a chaos run: it ended a worker that was starting while Redis was killed.
_SAID = "unable to perform operation on <TCPTransport closed=True reading=False>; the handler is closed"


def a_redis_that_hung_up() -> Any:
    async def hung_up(*_: object, **__: object) -> None:
        raise RuntimeError(_SAID)

    async def disconnect(**_: object) -> None:
        return

    return SimpleNamespace(
        ping=hung_up, get=hung_up, set=hung_up, connection_pool=SimpleNamespace(disconnect=disconnect)
    )


def test_a_worker_starts_and_answers_without_it() -> None:
    async def load() -> int:
        return 7

    async def play() -> bytes:
        cache = Cache(a_redis_that_hung_up())
        await cache.greet()
        return await cache.get_or_load("stats", 1.0, load)

    assert asyncio.run(play()) == b"7"
