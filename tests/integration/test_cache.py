"""The dashboard's cache over a real Redis, one that is away, and one that hangs."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from creditstream.errors import StartError, StoreUnavailable
from creditstream.settings import Secret, Settings
from creditstream.testing import ManualClock
from creditstream.web.cache import Cache


class Question:
    """Counts how often it was asked; `gate`: answers wait for it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Any:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def _opened(url: str, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Cache]:
    cache = Cache.open(Settings(redis_url=Secret(url)), clock)
    try:
        yield cache
    finally:
        await cache.close()


@asynccontextmanager
async def _server(handler: Callable[[Any, Any], Awaitable[None]], port: int = 0) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _forwarder(url: str) -> Callable[[Any, Any], Awaitable[None]]:
    host, port = url.split("/")[2].rsplit("@")[-1].split(":")

    async def copy(reader: Any, writer: Any) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def handler(reader: Any, writer: Any) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    return handler


def test_an_answer_is_kept_for_all_processes(stack: Any) -> None:
    async def scenario() -> None:
        question, key = Question({"b": [1, "ã"], "a": None}), str(uuid4())
        async with _opened(stack.redis_url) as one, _opened(stack.redis_url) as two:
            first = await one.get_or_load(key, 30, question)
            assert json.loads(first) == {"b": [1, "ã"], "a": None}
            assert await two.get_or_load(key, 30, question) == first
            assert question.asked == 1
            assert 0 < await one._redis.pttl("creditstream:" + key) <= 30_000

    asyncio.run(scenario())


def test_many_who_ask_at_once_are_one_query(stack: Any) -> None:
    async def scenario() -> None:
        question, key = Question(7), str(uuid4())
        question.gate.clear()
        async with _opened(stack.redis_url) as cache:
            asking = [asyncio.create_task(cache.get_or_load(key, 30, question)) for _ in range(10)]
            await asyncio.wait(asking, timeout=0)
            asking.pop(0).cancel()
            question.gate.set()
            assert await asyncio.gather(*asking) == [b"7"] * 9
            assert question.asked == 1
            assert not cache._flights

    asyncio.run(scenario())


def test_an_answer_is_given_again_for_a_moment_without_asking_redis(stack: Any) -> None:
    async def scenario() -> None:
        question, key, clock = Question(7), str(uuid4()), ManualClock()
        async with _opened(stack.redis_url, clock) as cache:
            for lookups in (1, 1, 2):
                assert await cache.get_or_load(key, 30, question) == b"7"
                assert sum(cache.lookups.values()) == lookups
                clock.advance(0.2)
            for number in range(1_000):
                cache._held.keep(str(number), b"")
            assert len(cache._held) <= 500
        assert question.asked == 1

    asyncio.run(scenario())


def test_a_failure_reaches_all_who_asked_and_is_not_kept(stack: Any) -> None:
    async def scenario() -> None:
        question, key = Question(StoreUnavailable("away"), 8), str(uuid4())
        async with _opened(stack.redis_url) as cache:
            asking = (cache.get_or_load(key, 30, question) for _ in range(3))
            failed = await asyncio.gather(*asking, return_exceptions=True)
            assert [type(error) for error in failed] == [StoreUnavailable] * 3
            assert await cache.get_or_load(key, 30, question) == b"8"

    asyncio.run(scenario())


def test_redis_away_is_one_warning_and_then_it_is_picked_up_again(stack: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "creditstream.web.cache")

    async def scenario() -> None:
        question, key, clock = Question(9), str(uuid4()), ManualClock()
        async with _server(_forwarder(stack.redis_url)) as port:
            pass  # a port that nobody listens on any more
        async with _opened(f"redis://127.0.0.1:{port}/0", clock) as cache:
            for _ in range(3):
                assert await cache.get_or_load(key, 30, question) == b"9"
                clock.advance(6)
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            async with _server(_forwarder(stack.redis_url), port):
                assert await cache.get_or_load(key, 30, question) == b"9"
                assert await cache.get_or_load(key, 30, question) == b"9"
                assert question.asked == 4
                assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
                await cache.close()

    asyncio.run(scenario())


def test_a_hanging_redis_is_asked_once_and_then_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        connections = 0

        async def hang(reader: Any, writer: Any) -> None:
            nonlocal connections
            connections += 1
            while await reader.read(4096):
                pass
            writer.close()

        question, clock = Question(1), ManualClock()
        async with _server(hang) as port, _opened(f"redis://127.0.0.1:{port}/0", clock) as cache:
            for key in "abcdef":
                assert await cache.get_or_load(key, 30, question) == b"1"
            assert connections == 1
            clock.advance(6)
            assert await cache.get_or_load("a", 30, question) == b"1"
            assert connections == 2
        assert [record.levelname for record in caplog.records if record.name == "creditstream.web.cache"] == ["WARNING"]

    asyncio.run(scenario())


class Closing:
    """A client whose connection closes while it writes: uvloop, not the client, says so."""

    connection_pool = SimpleNamespace(disconnect=AsyncMock())

    async def ping(self) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async def get(self, key: str) -> None:
        await self.ping()


def test_whatever_the_client_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Seen in a run of make chaos: Redis was killed while a worker greeted it, and the worker ended."""

    async def scenario() -> None:
        cache = Cache(Closing(), ManualClock())
        await cache.greet()
        assert await cache.get_or_load("k", 30, Question(1)) == b"1"

    asyncio.run(scenario())
    assert "RuntimeError" in caplog.text


def test_without_a_redis_every_question_is_loaded() -> None:
    async def scenario() -> None:
        question, clock = Question(1, 2), ManualClock()
        async with _opened("", clock) as cache:
            assert await cache.get_or_load("k", 30, question) == b"1"
            clock.advance(1)
            assert await cache.get_or_load("k", 30, question) == b"2"

    asyncio.run(scenario())


def test_a_bad_address_stops_the_start() -> None:
    with pytest.raises(StartError, match="bad setting CREDITSTREAM_REDIS_URL") as caught:
        Cache.open(Settings(redis_url=Secret("nonsense://:hush@x")))
    assert "hush" not in str(caught.value)
