"""The proxy passes bytes, and each of its faults looks to a client as the real one does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from devtools.stack.ports import HOST
from tests.chaos.proxy import Proxy

_SOON = 5.0


@asynccontextmanager
async def echoed() -> AsyncIterator[Proxy]:
    """A proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()


async def said(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], text: bytes) -> bytes:
    reader, writer = connection
    writer.write(text)
    return await reader.readexactly(len(text))


def check(test: Callable[[Proxy], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(_SOON), echoed() as proxy:
            await test(proxy)

    asyncio.run(run())


def test_it_passes_bytes_both_ways() -> None:
    async def test(proxy: Proxy) -> None:
        connection = await asyncio.open_connection(HOST, proxy.port)
        assert await said(connection, b"x" * 200_000) == b"x" * 200_000

    check(test)


def test_a_cut_resets_what_is_open_and_takes_new_connections() -> None:
    async def test(proxy: Proxy) -> None:
        connection = await asyncio.open_connection(HOST, proxy.port)
        await said(connection, b"hello")
        await proxy.cut()
        with pytest.raises(ConnectionResetError):
            await said(connection, b"hello")
        assert await said(await asyncio.open_connection(HOST, proxy.port), b"again") == b"again"

    check(test)


def test_it_refuses_until_it_is_healed_and_keeps_its_port() -> None:
    async def test(proxy: Proxy) -> None:
        port = proxy.port
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
        await proxy.heal()
        assert proxy.port == port
        assert await said(await asyncio.open_connection(HOST, port), b"back") == b"back"

    check(test)


def test_a_stall_keeps_connections_and_bytes() -> None:
    async def test(proxy: Proxy) -> None:
        connection = await asyncio.open_connection(HOST, proxy.port)
        await said(connection, b"hello")
        proxy.stall()
        answer = asyncio.ensure_future(said(connection, b"late"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), 0.1)
        await proxy.heal()
        assert await answer == b"late"

    check(test)


def test_a_delay_holds_every_chunk() -> None:
    async def test(proxy: Proxy) -> None:
        waited: list[float] = []

        async def wait(seconds: float) -> None:
            waited.append(seconds)

        proxy.delay, proxy.sleep = 0.1, wait
        connection = await asyncio.open_connection(HOST, proxy.port)
        assert await said(connection, b"slow") == b"slow"
        assert waited == [0.1, 0.1], "once on the way there, once on the way back"

    check(test)


def test_a_connection_breaks_in_the_middle_of_an_answer() -> None:
    async def test(proxy: Proxy) -> None:
        proxy.reset_after = 3
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"answer")
        got = b""
        with pytest.raises(ConnectionResetError):
            while True:
                got += await reader.readexactly(1)
        assert got == b"ans"

    check(test)


def test_a_server_that_is_away_resets_its_clients() -> None:
    async def test(proxy: Proxy) -> None:
        proxy.target = 1
        reader, _ = await asyncio.open_connection(HOST, proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)

    check(test)
