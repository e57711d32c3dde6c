"""What reaches an open page, over real sockets: blocks go to the kernel or through the transport, and never mix."""

import asyncio
import os
import random
import socket
import struct
from contextlib import suppress
from typing import Any, cast

import pytest
import uvloop

from creditstream.web.live.event_stream import Block
from creditstream.web.live.open_pages import UNREAD, Page, Pages
from creditstream.web.live.recent import Recent
from devtools.wait import wait_for_async
from tests.support.loops import NewLoop, play

LOOPS: list[NewLoop] = [uvloop.new_event_loop, asyncio.new_event_loop]


async def opened() -> tuple[Page, socket.socket]:
    """A page as the web server has it, and the socket of its reader, who takes little at once."""
    loop = asyncio.get_running_loop()
    transports: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

    class Accepts(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.put_nowait(cast(asyncio.Transport, transport))

    server = await loop.create_server(Accepts, "127.0.0.1", 0)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    reader.setblocking(False)
    await loop.sock_connect(reader, server.sockets[0].getsockname())
    page = Page(await transports.get(), gzip=False, chunked=False)
    server.close()
    return page, reader


async def read(reader: socket.socket, size: int) -> bytes:
    """So many bytes; fewer when the stream ends."""
    data = b""
    with suppress(ConnectionResetError):
        while len(data) < size and (part := await asyncio.get_running_loop().sock_recv(reader, 1 << 16)):
            data += part
    return data


@pytest.fixture(params=["from a file in memory", "no such file"])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> int:
        raise OSError(24, "Too many open files")

    if request.param == "no such file":
        monkeypatch.setattr(os, "memfd_create", none_left)


async def two_opened() -> tuple[Pages, tuple[Page, socket.socket], tuple[Page, socket.socket]]:
    """Both get the same."""
    pages, one, two = Pages(lambda: 1_000), await opened(), await opened()
    pages.begin(Recent([0]))
    for page, _ in (one, two):
        await pages.join(page, None, 0)
    return pages, one, two


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("seed", range(5))
def test_a_reader_that_stops_now_and_then_gets_every_byte_in_order(new_loop: NewLoop, seed: int) -> None:
    dice = random.Random(seed)
    texts = [dice.randbytes(dice.choice((0, 10, 5_000, 60_000, 300_000))) for _ in range(30)]

    async def scene() -> None:
        page, reader = await opened()
        written, got = 0, b""
        for text in texts:
            page.write(Block(text))
            written += len(text)
            if dice.random() < 0.5 or written - len(got) > UNREAD - 300_000:
                got += await read(reader, dice.randrange(written - len(got) + 1))
        got += await read(reader, written - len(got))
        assert got == b"".join(texts)
        assert not page.is_gone()
        page.drop()

    play(new_loop, scene)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_reader_that_sleeps_is_dropped_and_holds_nobody_up(new_loop: NewLoop) -> None:
    block = Block(random.Random(1).randbytes(50_000))

    async def scene() -> None:
        pages, (sleeps, _), (reads, reader) = await two_opened()
        rounds = 0
        while not sleeps.is_gone():
            pages.write(block)
            await read(reader, 50_000)
            rounds += 1
        assert rounds * 50_000 < UNREAD + 1_000_000
        assert len(pages) == 1
        assert not reads.is_gone()
        reads.drop()

    play(new_loop, scene)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_reader_that_has_gone_ends_its_page_and_no_other(new_loop: NewLoop) -> None:
    async def scene() -> None:
        pages, (_, leaver), (stays, reader) = await two_opened()
        leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        leaver.close()  # with a reset, which the transport has not heard of when the block comes
        pages.write(Block(b"x" * 100_000))
        assert not stays.is_gone()
        assert (await read(reader, 100_000)).endswith(b"x")

        async def is_alone() -> bool:
            pages.write(Block(b": ping"))
            return len(pages) == 1

        await wait_for_async(is_alone, 10, "the page that was left is over")
        stays.drop()

    play(new_loop, scene)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("knows", [None, "7fffffff"], ids=["a page", "a page that knows more than this worker"])
@pytest.mark.parametrize("reads", [True, False], ids=["while changes are read", "while Kafka is away"])
def test_at_the_end_a_page_that_comes_or_waits_goes_at_once(new_loop: NewLoop, knows: str | None, reads: bool) -> None:
    async def scene() -> None:
        pages = Pages(lambda: 1_000)
        if reads:
            pages.begin(Recent([0]))
        (waits, _one), (comes, _two) = await opened(), await opened()
        joining = asyncio.create_task(pages.join(waits, knows, 1e9))
        await wait_for_async(lambda: asyncio.sleep(0, len(pages)), what="it waits, or is in")
        pages.end()
        await joining
        await pages.join(comes, knows, 1e9)
        assert waits.over.is_set()
        assert comes.over.is_set()
        assert pages.full
        assert not len(pages)

    play(new_loop, scene)


def test_who_leaves_while_kafka_is_away_takes_no_place() -> None:
    async def scene() -> None:
        pages, (page, reader) = Pages(lambda: 1), await opened()
        joining = asyncio.create_task(pages.join(page, None, 1e9))
        await wait_for_async(lambda: asyncio.sleep(0, pages.full), what="the only place is taken")
        reader.close()
        page.drop()
        await joining
        assert not pages.full

    play(uvloop.new_event_loop, scene)


def test_under_tls_nothing_goes_round_the_transport() -> None:
    class Encrypting(asyncio.Transport):
        written = b""

        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"sslcontext": object(), "socket": socket.socket()}.get(name, default)

        def get_write_buffer_size(self) -> int:
            return 0

        def is_closing(self) -> bool:
            return False

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

        def write(self, data: Any) -> None:
            self.written += data

    transport = Encrypting()
    Page(transport, gzip=False, chunked=False).write(Block(b"secret"))
    assert transport.written == b"secret"
