"""The dashboard's cache over a real Redis that answers and does not do what it is there for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.dashboard import Listed, _decode_listed, _decode_today
from devtools.fakes import ManualClock
from devtools.stack.ports import HOST
from tests.useless.conftest import Own

CACHE = "creditstream.web.answers.cache"


@pytest.fixture
def server(own: Own) -> Iterator[Any]:
    """Redis of these tests' own, for an administrator."""
    with redis.Redis(host=HOST, port=own.stack.ports.redis) as server:
        yield server


@asynccontextmanager
async def _opened(own: Own, clock: ManualClock) -> AsyncIterator[Cache]:
    cache = Cache.open(Settings(redis_url=Secret(f"redis://{HOST}:{own.stack.ports.redis}/0")), clock)
    try:
        yield cache
    finally:
        await cache.close()


class Question:
    asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        return self.asked


#: What makes Redis refuse to be written while it can be read, what heals it, and how it is named.
REFUSES_WRITES = [
    ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "ReadOnlyError"),
    ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OutOfMemoryError"),
    ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
    ("ACL SETUSER default -set", "ACL SETUSER default +set", "it refuses our user"),
    ("CLIENT PAUSE 60000 WRITE", "CLIENT UNPAUSE", "TimeoutError"),
]


@pytest.mark.parametrize(("spoil", "heal", "named"), REFUSES_WRITES)
def test_a_redis_that_can_only_be_read_is_one_warning_until_it_keeps_answers_again(
    own: Own, server: Any, caplog: pytest.LogCaptureFixture, spoil: str, heal: str, named: str
) -> None:
    caplog.set_level(logging.INFO, "creditstream.web")

    async def scenario() -> None:
        clock, question, key = ManualClock(), Question(), str(uuid4())
        async with _opened(own, clock) as cache:
            for turn in range(4):
                await cache.get_or_load(key, 30, question)
                assert question.asked == turn + 1
                clock.advance(6)
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            assert caplog.messages[0].startswith("Redis keeps no answers") and named in caplog.messages[0]
            assert cache.lookups == {"miss": 4}, "it answers: nobody is alarmed that it is away"
            await asyncio.to_thread(server.execute_command, heal)
            for _ in range(2):
                await cache.get_or_load(key, 30, question)
                clock.advance(6)
            assert (question.asked, cache.lookups["hit"]) == (5, 1)
        assert caplog.messages[1:] == ["Redis keeps answers again"]

    server.execute_command(spoil)
    try:
        asyncio.run(scenario())
    finally:
        server.execute_command(heal)


def test_connections_to_a_redis_that_was_the_master_are_not_kept(own: Own, server: Any) -> None:
    """The address may lead to the new master by now, which only a new connection finds."""

    async def scenario() -> None:
        clock = ManualClock()
        async with _opened(own, clock) as cache:
            await cache.get_or_load(str(uuid4()), 30, Question())
            server.execute_command("REPLICAOF 127.0.0.1 1")
            await cache.get_or_load(str(uuid4()), 30, Question())
            left = [int(client["id"]) for client in server.client_list()]
            assert left == [server.client_id()], "no connection is left but this test's"

    try:
        asyncio.run(scenario())
    finally:
        server.execute_command("REPLICAOF NO ONE")


LISTED = msgspec.json.encode(Listed([], None))


@pytest.mark.parametrize(
    "bad", [b"", b"\xff\x00", b"{", b"null", b"7", b'{"counts":{"eaten":1},"lag":null}', b'{"orders":7,"next":""}', []]
)
def test_what_stands_under_our_key_is_not_believed(own: Own, server: Any, bad: Any) -> None:
    """Somebody else's value, or one of another release: the database is asked, and ours takes its place."""

    async def answer() -> Any:
        return Listed([], None)

    async def scenario(key: str) -> None:
        async with _opened(own, ManualClock()) as cache:
            assert await cache.get_or_load(key, 30, answer, _decode_listed) == LISTED
        assert server.get(f"creditstream:{key}") == LISTED

    key = str(uuid4())
    if isinstance(bad, bytes):
        server.set(f"creditstream:{key}", bad)
        with pytest.raises(msgspec.MsgspecError):
            _decode_today(bad)
    else:
        server.lpush(f"creditstream:{key}", "x")
    asyncio.run(scenario(key))


@pytest.mark.parametrize(
    "nonsense", [b":abc\r\n", b"$x\r\n", b"*x\r\n", b"-MOVED\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64]
)
def test_a_server_that_speaks_another_language_is_away(caplog: pytest.LogCaptureFixture, nonsense: bytes) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        while await reader.read(4096):
            writer.write(nonsense)
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(talk, HOST, 0)
        url = f"redis://{HOST}:{server.sockets[0].getsockname()[1]}/0"
        cache = Cache.open(Settings(redis_url=Secret(url)), ManualClock())
        assert await cache.get_or_load("k", 30, Question()) == b"1"
        await cache.close()
        server.close()

    asyncio.run(scenario())
    assert [record.levelname for record in caplog.records if record.name == CACHE] == ["WARNING"]
