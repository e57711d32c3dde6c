"""The simulated risk API's HTTP/1.1: a quarter of aiohttp.web's cost per call, because it shares the worker's cores."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, cast

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


Handler = Callable[[str, str, str, bytes], Answer]
"""Method, path, Idempotency-Key (or empty), body."""


class HttpProtocol(asyncio.Protocol):
    """Keep-alive connections with Content-Length bodies: what clients of a JSON API send."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = b""
        self._continued = self._last = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by name, only in what they do.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._take_request():
            pass
        if len(self._buffer) > _MAX_REQUEST_BYTES:
            self._transport.abort()

    def _take_request(self) -> bool:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return False
        request_line, *lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length, start = headers.get("content-length", "0"), head_end + 4
        method, _, rest = request_line.partition(" ")
        if not length.isdecimal() or "transfer-encoding" in headers or not rest:
            self._transport.write(Answer(411, b'{"error":"Content-Length is needed"}').encode())
            self._transport.close()
            return False
        end = start + int(length)
        if len(self._buffer) < end:
            self._say_continue(headers)
            return False
        body, self._buffer, self._continued = self._buffer[start:end], self._buffer[end:], False
        self._last = headers.get("connection", "").lower() == "close"
        self._answer(self._handler(method, rest.partition(" ")[0], headers.get("idempotency-key", ""), body))
        return bool(self._buffer)

    def _say_continue(self, headers: dict[str, str]) -> None:
        if not self._continued and headers.get("expect", "").lower() == "100-continue":
            self._continued = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, answer: Answer) -> None:
        if answer.drop:
            self._transport.abort()
        elif answer.wait:
            asyncio.get_running_loop().call_later(answer.wait, self._send, answer.encode())
        elif answer.wait is not None:
            self._send(answer.encode())

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
            if self._last:
                self._transport.close()
