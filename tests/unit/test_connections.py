"""The web server over real sockets, with a clock of the test's own: who stops half-way, and who talks nonsense."""

import asyncio
import logging
import random
from contextlib import suppress

import pytest
import uvloop

from creditstream.web.access.connections import MOST_HEAD
from creditstream.web.access.waiting import LIMITS, Wait
from devtools.wait import wait_for_async
from tests.support.loops import play
from tests.support.nonsense import NONSENSE, POST_LOGIN, mutated
from tests.support.site import Site, serving

_GET = b"GET /static/large HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WORK = b"GET /static/work HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: What is sent, and no more comes; and what it then waits for.
_HALVES = {
    "nothing": (b"", Wait.HEAD),
    "a byte": (b"G", Wait.HEAD),
    "half a head": (b"GET / HTTP/1.1\r\nHost: local", Wait.HEAD),
    "half a head after a request": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Wait.IDLE),
    "no body": (POST_LOGIN + b"Content-Length: 10\r\n\r\n", Wait.BODY),
    "half a body": (POST_LOGIN + b"Content-Length: 10\r\n\r\ntoken", Wait.BODY),
    "a body that waits for a word": (POST_LOGIN + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", Wait.BODY),
    "chunks without an end": (POST_LOGIN + b"Transfer-Encoding: chunked\r\n\r\n5\r\ntoken\r\n", Wait.BODY),
    "an answer that is not read": (_GET, Wait.READER),
    "many answers that are not read": (20 * _GET, Wait.READER),
}


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other end closes."""
    with suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("half", _HALVES)
def test_who_stops_half_way_is_closed_in_time(half: str, caplog: pytest.LogCaptureFixture) -> None:
    data, wait = _HALVES[half]

    async def scene() -> None:
        async with serving() as site:
            reader, _writer = await site.enter(data)
            await site.until(1)
            await wait_for_async(lambda: asyncio.sleep(0, wait in site.connections.waits()), what=f"it waits: {wait}")
            site.pass_time(LIMITS[wait] - 1)
            await site.until(1)
            site.pass_time(1)
            await site.until(0)
            await rest(reader)

    play(uvloop.new_event_loop, scene)
    assert not caplog.records


def test_when_there_is_no_more_room_whoever_waits_gives_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with serving(limit=64) as site:
            crowd = [await site.enter() for _ in range(40)]
            await site.until(16)
            for _ in range(3):
                site.now += 1
                reader, writer = await site.enter(
                    b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                assert b"200 OK" in await rest(reader)
                writer.close()
            for _, writer in crowd:
                writer.close()
            await site.until(0)

    play(uvloop.new_event_loop, scene)
    assert len(caplog.records) == 1, "it is said once"


def test_when_all_are_served_a_newcomer_is_closed_at_once() -> None:
    async def scene() -> None:
        async with serving(limit=64) as site:
            crowd = [await site.enter(_WORK) for _ in range(16)]
            await wait_for_async(lambda: asyncio.sleep(0, site.served == 16), what="all are served")
            reader, _ = await site.enter()
            assert await rest(reader) == b""
            await site.until(16)
            site.done.set()
            for _, writer in crowd:
                writer.close()

    play(uvloop.new_event_loop, scene)


async def answer_to(site: Site, data: bytes) -> bytes:
    """Its beginning; empty when the server closes without one, as it does at the end of half a request's time."""
    reader, writer = await site.enter(data)
    answer = b""
    with suppress(ConnectionError):
        answer = await reader.read(1 << 20)
    writer.transport.abort()
    return answer


def test_nonsense_is_answered_in_a_line_or_closed_and_nobody_has_to_read_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dice = random.Random(1)

    async def scene() -> None:
        async with serving() as site:
            seeds = [*NONSENSE, *(half for half, _ in _HALVES.values())]
            cases = [*NONSENSE, *(mutated(dice, seeds) for _ in range(400))]
            turns, refused = asyncio.Semaphore(20), []

            async def one(data: bytes) -> None:
                async with turns:
                    answer = await answer_to(site, data)
                status = answer[9:12]
                assert not answer or status in (b"100", b"200", b"303") or status[:1] == b"4", (data, answer)
                assert b"aiohttp" not in answer, (data, answer)
                refused.extend([data] * (status[:1] == b"4"))

            answers = asyncio.gather(*map(one, cases))
            while not answers.done():
                await asyncio.wait([answers], timeout=0.05)
                site.pass_time(1)
            await answers
            assert len(refused) > len(cases) / 2, "most are told"
            reader, _ = await site.enter(b"GET /health/live HTTP/1.0\r\n\r\n")
            assert b"200 OK" in await rest(reader)

    with caplog.at_level(logging.WARNING):
        play(uvloop.new_event_loop, scene)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_head_that_does_not_end_is_not_kept() -> None:
    async def scene() -> None:
        async with serving() as site:
            reader, writer = await site.enter(b"GET / HTTP/1.1\r\n")
            with suppress(ConnectionError):
                for number in range(100):
                    writer.write(b"X-%d: %b\r\n" % (number, b"a" * (MOST_HEAD // 20)))
                    await writer.drain()
            await rest(reader)
            await site.until(0)

    play(uvloop.new_event_loop, scene)
