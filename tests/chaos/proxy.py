"""A TCP proxy that injects network faults between a client and a server on this machine."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

from devtools.stack.ports import HOST

_CHUNK = 65_536
#: SO_LINGER on, zero seconds: close() sends RST instead of FIN, which is what a client of a killed machine sees.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes from its own `port` to `target`, until it is told to do worse. All methods run in its event loop."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        #: Seconds before each chunk is passed on, each way.
        self.delay = 0.0
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        #: A connection is reset once the server has sent so many bytes over it.
        self.reset_after: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections and reset those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def stall(self) -> None:
        """A black hole: connections stay open, and nothing comes through either way."""
        self._flowing.clear()

    async def heal(self) -> None:
        """As at the start. What was stalled is passed on now, late, as a network may do."""
        self.delay, self.reset_after = 0.0, None
        self._flowing.set()
        await self.open()

    async def close(self) -> None:
        await self.refuse()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: ends with the first end that closes, and takes the other with it."""
        away: asyncio.StreamWriter | None = None
        try:
            answers, away = await asyncio.open_connection(HOST, self.target)
            ways = [
                asyncio.create_task(self._pass(reader, away)),
                asyncio.create_task(self._pass(answers, writer, counted=True)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the server is away: the client sees its connection reset
        finally:
            for end in filter(None, (writer, away)):
                _reset(end)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool = False) -> None:
        """One way, until the source closes or the fault says so."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._flowing.wait()
                if self.delay:
                    await self.sleep(self.delay)
                passed += len(data) * counted
                limit = self.reset_after
                if limit is not None and passed > limit:
                    sink.write(data[: max(0, limit - passed + len(data))])
                    await sink.drain()
                    return
                sink.write(data)
                await sink.drain()


def _reset(end: asyncio.StreamWriter) -> None:
    """What was written is sent first if the peer takes it at once; then the connection is gone."""
    if open_socket := end.get_extra_info("socket"):  # gone when the peer went first
        with contextlib.suppress(OSError):
            open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
