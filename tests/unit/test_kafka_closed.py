"""A request on a connection that uvloop has closed fails as requests on lost connections do, and the client goes on."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from creditstream.kafka.lost_connections import mend_lost_connections
from devtools.wait import wait_for_async
from tests.support.loops import play

#: ApiVersions, version 0: no error, one API.
_ANSWER = struct.pack(">hi", 0, 1) + struct.pack(">hhh", 18, 0, 0)


async def _lost_connection() -> AIOKafkaConnection:
    """A connection whose transport is closed, and whose reader's task has not had its turn yet."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    connection: AIOKafkaConnection = await create_conn("127.0.0.1", server.sockets[0].getsockname()[1])
    connection._read_task.cancel()
    transport = connection._writer.transport
    transport.abort()

    async def is_closed() -> bool:
        return "closed=True" in repr(transport)

    await wait_for_async(is_closed, what="uvloop closes the transport")
    server.close()
    return connection


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    _, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
    body = struct.pack(">i", correlation) + _ANSWER
    writer.write(struct.pack(">i", len(body)) + body)


@pytest.mark.parametrize(
    "send",
    [
        lambda connection: connection.send(ApiVersionRequest()),
        lambda connection: connection._send_sasl_token(b"token", True),
    ],
    ids=["request", "sasl"],
)
def test_it_is_the_connections_error_and_closes_it(send: Callable[[AIOKafkaConnection], Awaitable[object]]) -> None:
    mend_lost_connections()

    async def test() -> None:
        connection = await _lost_connection()
        with pytest.raises(KafkaConnectionError, match="lost: unable to perform operation"):
            await send(connection)
        assert not connection.connected()
        with pytest.raises(KafkaConnectionError, match="No connection"):
            await send(connection)

    play(uvloop.new_event_loop, test)


def test_what_is_expected_stays_as_it_is_and_mending_twice_changes_nothing() -> None:
    mend_lost_connections()
    mended = AIOKafkaConnection.send
    mend_lost_connections()
    assert AIOKafkaConnection.send is mended

    async def test() -> None:
        connection = await _lost_connection()
        connection.close()
        with pytest.raises(KafkaConnectionError, match="No connection to broker"):
            await connection.send(ApiVersionRequest())

    play(uvloop.new_event_loop, test)
