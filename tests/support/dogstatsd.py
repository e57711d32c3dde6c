"""A Datadog agent's ear: DogStatsD datagrams over UDP, read by the grammar of its documentation."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_LINE = re.compile(
    r"(?P<name>[a-zA-Z][\w.]*):(?P<value>-?[0-9.]+(?:e[+-]?\d+)?)\|(?P<type>c|g|ms|h|s|d)"
    r"(?:\|@(?P<rate>[0-9.]+(?:e-?\d+)?))?(?:\|#(?P<tags>[^|]*))?"
)


class Point(NamedTuple):
    """One line."""

    name: str
    value: float
    kind: str
    rate: float
    tags: dict[str, str]


class Listener:
    """`address` is what a worker sends to; `points()` is what has come."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.datagrams: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="dogstatsd")
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self.datagrams.append(self._socket.recv(65_536))
            except TimeoutError:
                continue

    def points(self) -> list[Point]:
        return [read(line) for datagram in list(self.datagrams) for line in datagram.decode().split("\n")]

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


def read(line: str) -> Point:
    found = _LINE.fullmatch(line)
    assert found, f"not a line of DogStatsD: {line!r}"
    tags = dict(tag.split(":", 1) for tag in (found["tags"] or "").split(",") if tag)
    return Point(found["name"], float(found["value"]), found["type"], float(found["rate"] or 1), tags)


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()
