"""A way to a real server on which the next request or answer is lost, and its connection with it."""

import asyncio
from contextlib import suppress

from devtools.stack.ports import HOST

_CHUNK = 65_536


class FrailWay:
    """Passes bytes from `port` to a server. All of it runs in one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.port = 0
        #: Nothing gets through, and nobody gets in.
        self.is_cut = False
        self._loses: str | None = None
        self._server: asyncio.Server
        self._links: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def lose_request(self) -> None:
        """The server never has it."""
        self._loses = "request"

    def lose_answer(self) -> None:
        """The server has done what was asked by then."""
        self._loses = "answer"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if not self.is_cut:
                answers, away = await asyncio.open_connection(*self._to)
                ends.append(away)
                ways = [
                    asyncio.create_task(self._pass(reader, away, "request")),
                    asyncio.create_task(self._pass(answers, writer, "answer")),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, what: str) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._loses == what:
                    self._loses = None
                    return
                sink.write(data)
                await sink.drain()
