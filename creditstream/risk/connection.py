"""One connection to the risk API and the answer that it waits for. httptools parses (llhttp, as in Node, uvicorn)."""

import asyncio
from typing import NamedTuple, cast

import httptools

#: An answer's head: a server that goes on for longer is none.
_MAX_HEAD_BYTES = 64 * 1024
#: What a body may be on the wire, as a multiple of itself: chunks of one byte are six.
_CHUNKS = 8


class Answer(NamedTuple):
    """`body` may be longer than asked for: then it is cut off somewhere, and the connection closed."""

    status: int
    body: bytes
    retry_after: str | None


class Connection(asyncio.Protocol):
    """Made by `HttpClient` for each connection; an answer's body of more than `max_body` bytes is cut off."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self.answered: asyncio.Future[Answer] | None = None
        self.free_since = 0.0
        self.usable = True
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._body, self._received = b"", 0
        self._retry_after: str | None = None
        self._has_head = self._is_framed = self._is_whole = self._is_double = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by name, only in what they do.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> "asyncio.Future[Answer]":
        if not self.usable:
            raise ConnectionError("closed before it was used")
        self.answered = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
        except RuntimeError as error:  # uvloop's word for a connection that is closed at this moment
            raise ConnectionError("closed before it was used") from error
        return self.answered

    def abort(self) -> None:
        self.usable = False
        self._transport.abort()

    def give_up(self) -> None:
        """The time is up."""
        self._fail(TimeoutError())

    def _fail(self, error: BaseException) -> None:
        self.abort()
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(error)

    def data_received(self, data: bytes) -> None:
        if self.answered is None or self.answered.done():
            self.abort()  # nobody asked: whatever it belongs to, it is not the next answer
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"no HTTP: {type(error).__name__}"))
            return
        if self._is_double:
            self._fail(ConnectionError("two answers to one question"))
        elif self._is_whole:
            self._finish()
        elif self._received > _MAX_HEAD_BYTES + (_CHUNKS * self._max_body if self._has_head else 0):
            self._fail(ConnectionError("an endless answer"))

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self.answered is None or self.answered.done():
            return
        if self._has_head and not self._is_framed and error is None:
            self._finish()  # the end of the connection is the end of the body
        else:
            self.answered.set_exception(error or ConnectionError("closed before the answer was there"))

    # -- called by the parser

    def on_message_begin(self) -> None:
        self._is_double = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_body:
            self.usable, self._is_whole = False, True

    def on_message_complete(self) -> None:
        if self._has_head:
            self.usable = self.usable and self._parser.should_keep_alive()
            self._is_whole = True
        else:
            self._retry_after, self._is_framed = None, False  # 100, 103: the answer is still to come

    def _finish(self) -> None:
        assert self.answered is not None  # noqa: S101 - nothing is parsed unless it is asked for
        self.answered.set_result(Answer(self._parser.get_status_code(), self._body, self._retry_after))

    def free(self, now: float) -> None:
        """The answer was taken; the next one begins anew."""
        self.answered = None
        self.free_since = now
        self._begin()
