"""The simulated risk API's HTTP/1.1: a quarter of aiohttp.web's cost per call, because it shares the worker's cores."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, cast

import httptools

#: No request to this API is larger; a larger one is cut off.
_MAX_REQUEST_BYTES = 8 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Answer(NamedTuple):
    """`wait`: seconds until it is sent, None for never. `drop`: break the connection instead."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: str | None = None
    wait: float | None = 0.0
    drop: bool = False

    def encode(self) -> bytes:
        if self.status == 204:  # has no body, by definition
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n"
        )
        if self.retry_after is not None:
            head += f"Retry-After: {self.retry_after}\r\n"
        if 300 <= self.status < 400:
            head += "Location: /health\r\n"
        return head.encode() + b"\r\n" + self.body


_NO_LENGTH = Answer(411, b'{"error":"Content-Length is needed"}').encode()
Handler = Callable[[str, str, str, bytes], Answer]
"""Method, path, Idempotency-Key (or empty), body."""


class Asked(NamedTuple):
    """A request that is there whole. `is_last`: the connection is closed behind its answer."""

    method: str
    path: str
    key: str
    body: bytes
    is_last: bool


class HttpProtocol(asyncio.Protocol):
    """Keep-alive connections with Content-Length bodies: what clients of a JSON API send. httptools parses."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._asked: list[Asked] = []
        self._begin()

    def _begin(self) -> None:
        self._path = self._body = self._method = b""
        self._headers: dict[bytes, bytes] = {}
        self._size = 0
        self._expects = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by name, only in what they do.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        is_understood = self._parse(data)
        asked, self._asked = self._asked, []
        for one in asked:
            self._answer(one)
        if not is_understood:
            self._send(_NO_LENGTH, is_last=True)
        elif self._size > _MAX_REQUEST_BYTES:
            self._transport.abort()
        elif self._expects:
            self._expects = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _parse(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            return self._method != b"CONNECT" and self._parse(self._without_wish() + data[wish.args[0] :])
        except httptools.HttpParserError:
            return False
        return True

    def _without_wish(self) -> bytes:
        """The head of a request that would rather have another protocol: its body is still to come, in this one."""
        lines = (b"%b: %b\r\n" % each for each in self._headers.items() if each[0] != b"upgrade")
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self._method, self._path, b"".join(lines))
        self._parser = httptools.HttpRequestParser(self)
        self._begin()
        return head

    # -- called by the parser

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if b"transfer-encoding" in self._headers:
            raise ValueError("chunks")
        self._method = self._parser.get_method()
        self._expects = self._headers.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # the parser believes that there is no body
        method, path = self._method.decode(), self._path.decode("latin-1")
        key = self._headers.get(b"idempotency-key", b"").decode("latin-1")
        is_last = not self._parser.should_keep_alive()
        self._asked.append(Asked(method, path, key, self._body, is_last))
        self._begin()

    # -- answers

    def _answer(self, asked: Asked) -> None:
        answer = self._handler(asked.method, asked.path, asked.key, asked.body)
        if answer.drop:
            self._transport.abort()
        elif answer.wait:
            asyncio.get_running_loop().call_later(answer.wait, self._send, answer.encode(), asked.is_last)
        elif answer.wait is not None:
            self._send(answer.encode(), asked.is_last)

    def _send(self, data: bytes, is_last: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
            if is_last:
                self._transport.close()
