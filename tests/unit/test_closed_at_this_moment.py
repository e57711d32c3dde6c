"""uvloop raises RuntimeError where asyncio says nothing: about a connection that is closed and does not know it yet.

Seen with Redis (tests/integration/test_cache.py), where it ended a worker. aiokafka: docs/adr/0015.
"""

import asyncio
from typing import Any

import pytest

from creditstream.metrics.dogstatsd import DogStatsD
from creditstream.risk.connection import Connection
from creditstream.web.live.event_stream import Block
from creditstream.web.live.open_pages import Page


class Closed(asyncio.Transport):
    """Says so only when it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    sendto = write

    def abort(self) -> None:
        self.aborted = True


def test_a_question_to_the_risk_api_is_asked_again() -> None:
    async def ask() -> None:
        connection = Connection(1_000)
        connection.connection_made(Closed())
        with pytest.raises(ConnectionError, match="closed before it was used"):
            connection.send(b"POST")

    asyncio.run(ask())


def test_a_connection_to_the_risk_api_that_was_lost_while_it_was_free_is_not_used_again() -> None:
    async def lose() -> None:
        connection = Connection(1_000)
        connection.connection_made(Closed())
        connection.connection_lost(None)
        assert not connection.usable

    asyncio.run(lose())


def test_an_open_page_goes_and_no_other_notices() -> None:
    async def write() -> None:
        transport = Closed()
        page = Page(transport, gzip=False, chunked=False)
        page.write(Block(b"data: 1\n\n"))
        assert page.is_gone()
        assert transport.aborted

    asyncio.run(write())


def test_metrics_open_another_socket() -> None:
    async def report() -> None:
        transport: Any = Closed()
        sender = DogStatsD(lambda: ())
        sender.datagrams = lambda: iter([b"x"])  # type: ignore[method-assign]
        await sender._report(transport)

    asyncio.run(report())
