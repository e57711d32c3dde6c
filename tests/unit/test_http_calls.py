"""The risk API's HTTP client over wires of the test's own: what goes out, what is an answer, what is used again."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from creditstream.risk.connection import Answer, Connection
from creditstream.risk.http import CertificateRefused, HttpClient, UnknownInDNS
from tests.unit.pipeline_rig import turns

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
_WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\nok"
_WITHIN = 30.0
_FINE = Answer(200, b"ok", None)


class Wire(asyncio.Transport):
    """One connection: what was written, and whether it was cut off. It says `answer` to each question."""

    def __init__(self, connection: Connection, answer: bytes) -> None:
        super().__init__()
        self.connection, self.answer = connection, answer
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        if self.answer:
            asyncio.get_running_loop().call_soon(self.connection.data_received, self.answer)

    def abort(self) -> None:
        self.aborted = True


class Net:
    """What a client's connections are made of, as long as the test's loop runs."""

    def __init__(self, answer: bytes = _OK, url: str = "http://risk.test/v1/x") -> None:
        self.wires: list[Wire] = []
        #: Host, port and TLS of each.
        self.opened: list[tuple[str, int, Any]] = []
        self._answer, self.passed = answer, 0.0
        loop: Any = asyncio.get_running_loop()
        loop.create_connection = self._open
        before = loop.time
        loop.time = lambda: before() + self.passed
        self.client = HttpClient(url, {"Accept": "application/json"}, max_body=1_000)

    async def _open(self, make: Callable[[], Connection], host: str, port: int, **options: Any) -> tuple[Wire, Any]:
        connection = make()
        wire = Wire(connection, self._answer)
        connection.connection_made(wire)
        self.opened.append((host, port, options["ssl"]))
        self.wires.append(wire)
        return wire, connection

    async def ask(self, limit: float = _WITHIN) -> Answer:
        return await self.client.post(b"{}", {"Key": "1"}, limit)

    async def asked(self) -> tuple[Wire, "asyncio.Task[Answer]"]:
        """A question that is out, on the wire that was opened last."""
        call = asyncio.create_task(self.ask())
        await asyncio.sleep(0)
        return self.wires[-1], call


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(_WITHIN):
            await scene()

    asyncio.run(within())


# -- what goes out


@pytest.mark.parametrize(
    ("url", "host", "port", "head"),
    [
        ("http://risk.test/v1/x", "risk.test", 80, b"POST /v1/x HTTP/1.1\r\nHost: risk.test\r\n"),
        ("https://risk.test/v1/x", "risk.test", 443, b"POST /v1/x HTTP/1.1\r\nHost: risk.test\r\n"),
        ("https://risk.test:8443/x", "risk.test", 8443, b"POST /x HTTP/1.1\r\nHost: risk.test:8443\r\n"),
        ("http://a:b@risk.test:81/x?y=1&z", "risk.test", 81, b"POST /x?y=1&z HTTP/1.1\r\nHost: risk.test:81\r\n"),
    ],
)
def test_the_url_says_where_and_what_for(url: str, host: str, port: int, head: bytes) -> None:
    async def scene() -> None:
        net = Net(url=url)
        assert await net.ask() == _FINE
        [(found, at, tls)] = net.opened
        assert (found, at) == (host, port)
        assert isinstance(tls, ssl.SSLContext) == url.startswith("https:")
        [request] = net.wires[0].written
        assert request.startswith(head + b"Accept: application/json\r\nKey: 1\r\nContent-Length: 2\r\n\r\n")
        assert request.endswith(b"\r\n\r\n{}")

    play(scene)


def test_a_context_that_is_given_is_the_one() -> None:
    async def scene() -> None:
        net, context = Net(), ssl.create_default_context()
        net.client = HttpClient("https://risk.test", {}, max_body=1_000, context=context)
        await net.ask()
        assert net.opened == [("risk.test", 443, context)]

    play(scene)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ssl.SSLCertVerificationError(), CertificateRefused),
        (socket.gaierror(), UnknownInDNS),
        (ConnectionRefusedError(), ConnectionRefusedError),
    ],
)
def test_why_nobody_is_there_is_told(error: OSError, told: type[OSError]) -> None:
    async def scene() -> None:
        async def fails(*_: object, **__: object) -> None:
            raise error

        net, loop = Net(), asyncio.get_running_loop()
        loop.create_connection = fails  # type: ignore[assignment, method-assign]
        with pytest.raises(told):
            await net.ask()

    play(scene)


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nb", "\r", "\n"])
def test_no_part_of_a_line_break_gets_into_a_header(value: str) -> None:
    async def scene() -> None:
        net = Net()
        with pytest.raises(ValueError, match="line break"):
            await net.client.post(b"{}", {"Key": value}, _WITHIN)
        with pytest.raises(ValueError, match="line break"):
            HttpClient("http://risk.test", {"Key": value}, max_body=1)
        assert not any(wire.written for wire in net.wires)

    play(scene)


# -- which wire is used again


def test_the_wire_that_was_used_last_is_used_again_and_none_that_was_free_for_long() -> None:
    async def scene() -> None:
        net = Net()
        await asyncio.gather(net.ask(), net.ask())
        first, second = net.wires
        net.passed = 3.0
        await net.ask()
        assert [len(wire.written) for wire in (first, second)] == [1, 2]
        net.passed = 4.9  # Node's servers close what was free for five seconds
        await net.ask()
        assert (first.aborted, second.aborted) == (True, False), "the other was free for two"
        net.passed = 10.0
        await net.ask()
        assert second.aborted and len(net.wires) == 3

    play(scene)


@pytest.mark.parametrize("how", ["lost", "close", "http 1.0", "closed by us", "too long"])
def test_a_wire_that_is_of_no_more_use_is_not_used_again(how: str) -> None:
    async def scene() -> None:
        said = {"close": _CLOSE, "http 1.0": _OK.replace(b"1.1", b"1.0")}
        said["too long"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1_001
        net = Net(said.get(how, _OK))
        await net.ask()
        [wire] = net.wires
        if how == "lost":
            wire.connection.connection_lost(None)
        elif how == "closed by us":
            net.client.close_idle()
        assert (await net.ask()).status == 200
        assert (len(net.wires), len(wire.written)) == (2, 1)
        assert wire.aborted == (how != "lost")
        assert wire.connection not in net.client._open, "it is let go"
        await net.client.close()
        assert net.wires[1].aborted

    play(scene)


def test_whatever_comes_unasked_ends_the_wire() -> None:
    async def scene() -> None:
        net = Net()
        await net.ask()
        [wire] = net.wires
        wire.connection.data_received(_OK)
        assert wire.aborted
        assert await net.ask() == _FINE
        assert len(net.wires) == 2

    play(scene)


# -- what is an answer


@pytest.mark.parametrize(
    ("said", "error", "found"),
    [
        (_WITHOUT_LENGTH, None, _FINE),
        (_WITHOUT_LENGTH, ConnectionResetError(), ConnectionResetError),
        (_OK[:-1], None, ConnectionError),
        (_OK[:-1], ConnectionResetError(), ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\n", None, ConnectionError),
        (b"", None, ConnectionError),
    ],
)
def test_a_wire_that_is_lost_ends_the_answer_or_breaks_it(said: bytes, error: Exception | None, found: object) -> None:
    async def scene() -> None:
        net = Net(b"")
        wire, call = await net.asked()
        if said:
            wire.connection.data_received(said)
        assert not call.done()
        wire.connection.connection_lost(error)
        [answer] = await asyncio.gather(call, return_exceptions=True)
        assert answer == found or type(answer) is found
        wire.connection.connection_lost(error)

    play(scene)


@pytest.mark.parametrize("said", [b"no such thing\r\n\r\n", _OK + _OK, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000])
def test_what_is_no_answer_breaks_the_call_at_once_and_ends_the_wire(said: bytes) -> None:
    async def scene() -> None:
        net = Net(b"")
        wire, call = await net.asked()
        wire.connection.data_received(said)
        with pytest.raises(ConnectionError):
            await call
        assert wire.aborted

    play(scene)


def test_a_head_may_have_64_kib_and_no_more() -> None:
    async def scene() -> None:
        net = Net(b"")
        wire, call = await net.asked()
        begins = b"HTTP/1.1 200 OK\r\nX: "
        wire.connection.data_received(begins + b"x" * (64 * 1024 - len(begins)))
        assert not wire.aborted
        wire.connection.data_received(b"x")
        with pytest.raises(ConnectionError, match="an endless answer"):
            await call
        assert wire.aborted

    play(scene)


def test_an_answer_that_does_not_come_in_time_is_none_and_ends_the_wire() -> None:
    async def scene() -> None:
        net = Net()
        await net.ask()
        [wire] = net.wires
        wire.answer = b""
        with pytest.raises(TimeoutError):
            await net.ask(limit=0.0)
        assert wire.aborted
        wire.connection.data_received(_OK)
        assert await net.ask() == _FINE
        assert len(net.wires) == 2

    play(scene)


def test_the_time_of_a_call_that_was_answered_ends_no_other() -> None:
    async def scene() -> None:
        net = Net()
        await net.ask(limit=1.0)
        net.wires[0].answer = b""
        wire, call = await net.asked()
        net.passed = 2.0
        await turns()
        assert not call.done() and not wire.aborted
        wire.connection.data_received(_OK)
        assert await call == _FINE

    play(scene)


def test_what_follows_a_call_that_was_cancelled_is_nobodys() -> None:
    async def scene() -> None:
        net = Net(b"")
        wire, call = await net.asked()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert wire.aborted and not net.client._open

    play(scene)


def test_what_it_asks_for_is_of_the_answer_and_of_nothing_that_comes_before_it() -> None:
    async def scene() -> None:
        net = Net(b"HTTP/1.1 429 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
        assert await net.ask() == Answer(429, b"", "7")
        net.wires[0].answer = b"HTTP/1.1 103 Early\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n" + _OK
        assert await net.ask() == _FINE
        net.wires[0].answer = _OK
        assert await net.ask() == _FINE
        assert len(net.wires) == 1

    play(scene)
