"""TCP between a client's protocol and a server's, both asyncio's: bytes that take their time. For the risk API."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.simulation.network import Network


class Pipe(asyncio.Transport):
    """One end. What is written arrives at the other end's protocol."""

    def __init__(self, network: Network, protocol: Any) -> None:
        super().__init__()
        self._network, self.protocol = network, protocol
        self.other: Pipe
        self._is_closing = False
        self._arrives = 0.0

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self._send(self.other.take, bytes(data))

    def _send(self, call: Callable[..., None], *args: Any) -> None:
        self._arrives = max(self._arrives, self._network.loop.time() + self._network.delay())
        self._network.later(self._arrives, call, *args)

    def take(self, data: bytes) -> None:
        if not self._is_closing:
            self.protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._send(self.other.lose, None)
            self._is_closing = True
            self._network.later(self._network.loop.time(), self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def joined(network: Network, client: Any, server: Any) -> Pipe:
    """Two ends of a connection that is made. Returns the client's."""
    near, far = Pipe(network, client), Pipe(network, server)
    near.other, far.other = far, near
    server.connection_made(far)
    client.connection_made(near)
    return near
