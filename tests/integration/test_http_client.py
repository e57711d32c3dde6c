"""Connections of the risk API's HTTP client: used again when that is safe. A real server on a socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from creditstream.risk.connection import Answer
from creditstream.risk.http import HttpClient

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_WITHIN = 30.0


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))


class Server:
    """Answers each request with the next of `said`; counts connections and keeps requests."""

    def __init__(self, *said: bytes) -> None:
        self._said = list(said)
        self.connections = 0
        self.requests: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                writer.write(self._said.pop(0) if self._said else _OK)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):  # the client has gone, or the test
            writer.close()


@asynccontextmanager
async def client_of(handle: Handle) -> AsyncIterator[HttpClient]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}/v1/x", {"Accept": "application/json"}, max_body=1_000)
    try:
        yield client
    finally:
        await client.close()
        server.close()


def answers(server: Server, calls: int) -> list[Answer | BaseException]:
    async def run() -> list[Answer | BaseException]:
        async with client_of(server.handle) as client:
            return [
                (await asyncio.gather(client.post(b"{}", {"Key": str(number)}, _WITHIN), return_exceptions=True))[0]
                for number in range(calls)
            ]

    return asyncio.run(run())


def test_a_connection_is_used_again() -> None:
    server = Server()
    assert answers(server, 3) == [Answer(200, b"ok", None)] * 3
    assert server.connections == 1
    first = server.requests[0]
    assert first.startswith(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAccept: application/json\r\nKey: 0\r\n" in first


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000,
    ],
    ids=["close", "http 1.0", "too long"],
)
def test_a_connection_that_is_not_to_be_used_again_is_not(said: bytes) -> None:
    server = Server(said)
    first, second = answers(server, 2)
    assert isinstance(first, Answer) and first.status == 200
    assert second == Answer(200, b"ok", None)
    assert server.connections == 2


def test_two_answers_to_one_question_are_none() -> None:
    """The second would be taken for the next order's."""
    server = Server(_OK + _OK)
    first, second = answers(server, 2)
    assert isinstance(first, ConnectionError)
    assert second == Answer(200, b"ok", None)


def test_what_follows_a_cancelled_call_is_nobodys() -> None:
    async def run() -> tuple[int, Answer]:
        asked, go_on = asyncio.Event(), asyncio.Event()
        server = Server()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.connections:
                await server.handle(reader, writer)
                return
            server.connections += 1
            await read_request(reader)
            asked.set()
            await go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
            writer.close()

        async with client_of(late) as client:
            call = asyncio.ensure_future(client.post(b"{}", {}, _WITHIN))
            await asked.wait()
            call.cancel()
            await asyncio.wait([call])
            go_on.set()
            return server.connections, await client.post(b"{}", {}, _WITHIN)

    assert asyncio.run(run()) == (1, Answer(200, b"ok", None))


def test_a_body_that_ends_with_the_connection() -> None:
    async def run() -> Answer:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\n\r\nto the end")
            writer.close()

        async with client_of(handle) as client:
            return await client.post(b"{}", {}, _WITHIN)

    assert asyncio.run(run()) == Answer(200, b"to the end", "7")


def test_a_header_with_a_line_break_is_refused() -> None:
    async def run() -> None:
        async with client_of(Server().handle) as client:
            await client.post(b"{}", {"Key": "a\r\nHost: elsewhere"}, _WITHIN)

    with pytest.raises(ValueError, match="line break"):
        asyncio.run(run())
