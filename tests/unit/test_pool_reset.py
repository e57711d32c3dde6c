"""A server's last words before it resets a connection: libuv tells of them once, and watches the socket no more."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

import psycopg2
import pytest
import uvloop

from creditstream.store import pool

_WITHIN = 30.0
_SSL_REQUEST = 80_877_103
_LAST_WORDS = b"SWARNING\0C57P02\0Mterminating connection because of crash of another server process\0\0"
_SETTINGS = {"server_version": "16.0", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "integer_datetimes": "on"}


class _Server(NamedTuple):
    """Lets one in. Asked something, and told to, it says why it ends and resets the connection."""

    dsn: str
    may_reset: threading.Event
    has_reset: threading.Event


@pytest.fixture
def server() -> Iterator[_Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        it = _Server(f"postgresql://somebody@{host}:{port}/any", threading.Event(), threading.Event())
        serving = threading.Thread(target=_serve, args=(listening, it))
        serving.start()
        yield it
        it.may_reset.set()
        serving.join(_WITHIN)


def _serve(listening: socket.socket, server: _Server) -> None:
    connection, _ = listening.accept()
    with connection:
        if _packet(connection) == _SSL_REQUEST:
            connection.sendall(b"N")
            _packet(connection)
        settings = [_message(b"S", f"{name}\0{value}\0".encode()) for name, value in _SETTINGS.items()]
        connection.sendall(_message(b"R", bytes(4)) + b"".join(settings) + _message(b"K", bytes(8)))
        connection.sendall(_message(b"Z", b"I"))
        connection.recv(1)
        server.may_reset.wait(_WITHIN)
        connection.sendall(_message(b"N", _LAST_WORDS))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.has_reset.set()


def _packet(connection: socket.socket) -> int:
    """Reads one of those without a type. Its code."""
    size, code = struct.unpack("!ii", connection.recv(8, socket.MSG_WAITALL))
    connection.recv(size - 8, socket.MSG_WAITALL)
    return int(code)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_whoever_asks_hears_of_a_reset(
    server: _Server, loop_factory: type[asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_LOOK_AGAIN", 0.05)

    async def scenario() -> None:
        async with (
            asyncio.timeout(_WITHIN),
            await pool.connect(server.dsn) as connection,
            connection.cursor(timeout=2 * _WITHIN) as cursor,
        ):
            asking = asyncio.ensure_future(cursor.execute("SELECT 1"))
            await asyncio.sleep(0)  # it waits for the answer now
            server.may_reset.set()
            server.has_reset.wait(_WITHIN)  # the loop finds both when it looks again
            with pytest.raises(psycopg2.OperationalError):
                await asking

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())
