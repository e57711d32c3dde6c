"""Clients that do not behave: connections that say nothing, or a byte now and then, or never read."""

import contextlib
import resource
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_DRIP_EVERY = 1.0
_PATIENCE = 0.5


def connected(url: str, data: bytes = b"", *, receive: int | None = None) -> socket.socket:
    """A connection that has sent `data`; `receive`: bytes of its own buffer, for one that does not read."""
    parts = urlsplit(url)
    client = socket.socket()
    client.settimeout(60)
    if receive:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.connect((parts.hostname, parts.port))
    client.sendall(data)
    return client


def first_of_answer(url: str, data: bytes) -> bytes:
    """To `data`, after which nothing more comes; empty when the other end just closes, or waits for the rest."""
    with contextlib.suppress(ConnectionError, TimeoutError), connected(url, data) as client:
        client.settimeout(_PATIENCE)
        return client.recv(4_096)
    return b""


class Crowd:
    """So many connections at once that never finish a request; those that are closed come again a second later."""

    def __init__(self, url: str, size: int) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._size = size
        self._selector = selectors.DefaultSelector()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        #: How often the server has closed one.
        self.closed = 0

    @property
    def standing(self) -> int:
        return len(self._selector.get_map())

    def _enter(self) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self._address)
        self._selector.register(client, selectors.EVENT_READ)

    def _run(self) -> None:
        while not self._over.wait(_DRIP_EVERY if self.standing else 0):
            for key, _ in self._selector.select(0):
                self._leave(key.fileobj)
                self.closed += 1
            for _ in range(self._size - self.standing):
                self._enter()
            for number, key in enumerate(list(self._selector.get_map().values())):
                if number % 2:  # one half says a byte now and then, the other nothing at all
                    with contextlib.suppress(OSError):
                        key.fileobj.send(b"G")  # type: ignore[union-attr]

    def _leave(self, client: object) -> None:
        assert isinstance(client, socket.socket)
        self._selector.unregister(client)
        client.close()

    def _end(self) -> None:
        self._over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            self._leave(key.fileobj)
        self._selector.close()

    @classmethod
    @contextmanager
    def of(cls, url: str, size: int) -> Iterator["Crowd"]:
        """While the block lasts."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        crowd = cls(url, size)
        crowd._thread.start()
        try:
            yield crowd
        finally:
            crowd._end()
