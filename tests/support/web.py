"""The web server as a browser or program sees it: whole answers, and event streams read event by event."""

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_WITHIN = 60.0


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_open = urllib.request.build_opener(_Unfollowed).open


def ask(
    url: str, data: bytes | None = None, *, method: str | None = None, within: float = _WITHIN, **headers: str
) -> Answer:
    """One answer, whatever its status, each part of it `within` seconds; keywords are headers, with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, headers=named, method=method)
    try:
        with _open(request, timeout=within) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class Event(NamedTuple):
    token: str
    name: str
    data: Any


class Stream:
    """An open `GET /events`."""

    def __init__(
        self, url: str, token: str | None = None, *, gzip: bool = False, receive: int | None = None, cookie: str = ""
    ) -> None:
        """`receive`: bytes of the socket's buffer; `read` nothing, and the server sees a slow reader."""
        parts = urlsplit(url)
        self._socket = socket.socket()
        if receive:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._socket.settimeout(_WITHIN)
        self._socket.connect((parts.hostname, parts.port))
        lines = ["GET /events HTTP/1.1", f"Host: {parts.netloc}", *([f"Last-Event-ID: {token}"] if token else [])]
        lines += ["Accept-Encoding: gzip"] if gzip else []
        lines += [f"Cookie: {cookie}"] if cookie else []
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None
        self.token = token or ""
        self.events = self._read_events()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def _texts(self) -> Iterator[bytes]:
        with self._socket.makefile("rb") as file:
            while file.readline() not in (b"\r\n", b""):
                pass
            while (size := int(file.readline() or b"0", 16)) > 0:
                chunk = file.read(size)
                file.readline()
                yield self._gzip.decompress(chunk) if self._gzip else chunk

    def _read_events(self) -> Iterator[Event]:
        """All events, until the stream ends. `token` is that of the last one."""
        text, deadline = b"", time.monotonic() + _WITHIN
        for piece in self._texts():
            assert time.monotonic() < deadline, "the stream goes on without what was waited for"
            *parts, text = (text + piece).split(b"\n\n")
            for part in parts:
                fields = dict(line.split(": ", 1) for line in part.decode().splitlines())
                if "event" in fields:
                    self.token = fields.get("id", self.token)
                    yield Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))

    def statuses(self) -> Iterator[Event]:
        return (event for event in self.events if event.name == "status")


async def watch(url: str, wanted: int, joined: asyncio.Semaphore, *, gzip: bool) -> list[str]:
    """The tokens of the first `wanted` changes of a stream; `joined` is released at its hello."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    accept = b"Accept-Encoding: gzip\r\n" if gzip else b""
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n" + accept + b"\r\n")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None
    text, said = b"", False
    tokens: list[str] = []
    try:
        await reader.readuntil(b"\r\n\r\n")
        while len(tokens) < wanted:
            chunk = await reader.readexactly(int(await reader.readline(), 16) + 2)
            *parts_, text = (text + (inflate.decompress(chunk[:-2]) if inflate else chunk[:-2])).split(b"\n\n")
            tokens += [part.split(b"\n")[0].decode() for part in parts_ if b"event: status" in part]
            if not said and any(b"event: hello" in part for part in parts_):
                said = True
                joined.release()
    finally:
        writer.close()
    return tokens
