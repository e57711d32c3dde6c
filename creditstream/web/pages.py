"""The open pages: each change is encoded once and handed to all of them; one that reads too slowly is dropped."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

from creditstream.web.recent import Change, Recent
from creditstream.web.stream import Block, event, status_events

#: Bytes that a page may leave unread beside what the kernel holds for it: 1.2 s of 3,000 changes a second, compressed
#: seven. Pages that are slow together wait for the same blocks, which are there once.
UNREAD = 2 * 1024 * 1024
_KERNEL = 128 * 1024
"""Bytes that the kernel holds for a page: by itself it takes megabytes for a reader that sleeps."""
_LOOK_AGAIN = 1.0
MOST_PAGES = 1_000
"""Open pages of one worker; beyond, a page is asked to come again."""


class Page:
    """One open stream, written to straight away: no task and no queue of its own but the connection's buffer."""

    def __init__(self, transport: Any, *, gzip: bool, chunked: bool) -> None:
        self._transport, self._gzip, self._chunked = transport, gzip, chunked
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL)
        transport.set_write_buffer_limits(high=2 * UNREAD)  # how slowly a page may read is decided here alone
        #: Behind the transport's back, while that holds nothing back: twice as cheap (docs/adr/0016). Not under TLS.
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._descriptor = None if encrypted or connection is None else connection.fileno()
        self.over = asyncio.Event()

    def is_gone(self) -> bool:
        return self.over.is_set() or bool(self._transport.is_closing())

    def write(self, block: Block) -> None:
        if self._transport.is_closing():
            self.over.set()
            return
        try:
            self._send(block)
        except (OSError, RuntimeError):  # it went a moment ago; uvloop says RuntimeError
            self.drop()

    def _send(self, block: Block) -> None:
        waiting = self._transport.get_write_buffer_size()
        if waiting > UNREAD:
            self.drop()
            return
        form, sent = block.form(self._gzip, self._chunked), 0
        if self._descriptor is not None and not waiting:
            sent = form.send(self._descriptor)
        if sent < len(form.data):
            self._transport.write(form.data[sent:])

    async def wait(self, seconds: float | None) -> None:
        """Until the page is over, for so long at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    def drop(self) -> None:
        """It comes back by itself, and goes on where it stopped."""
        self._transport.abort()
        self.over.set()


class Pages:
    """All streams of this worker, each at the same place in the same sequence of changes."""

    def __init__(self, most: Callable[[], int]) -> None:
        """`most`: how many there may be, as things stand."""
        self._most = most
        self._pages: set[Page] = set()
        self._joining: set[Page] = set()
        self._is_over = False
        self.recent: Recent | None = None
        self._moved = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._pages) + len(self._joining)

    @property
    def full(self) -> bool:
        """Whether one more is asked to come again later, or to another worker."""
        return self._is_over or len(self) >= min(MOST_PAGES, self._most())

    async def join(self, page: Page, token: str | None, patience: float) -> None:
        """Say hello, send what the page has missed since `token`, and from now on whatever comes.

        Waits while nothing is being read yet, and for `patience` seconds when the page knows more than this worker.
        """
        self._joining.add(page)
        try:
            recent = await self._ready(page, token, patience)
        finally:
            self._joining.discard(page)
        if recent is None:
            return
        positions = recent.parse(token)
        missed = None if positions is None else recent.replay(positions)
        if missed is None or token is None:
            hello = event("hello", b'{"resumed":false}', recent.token())
        else:
            hello = event("hello", b'{"resumed":true}', token)
        page.write(Block(hello + status_events(missed or [])))
        self._pages.add(page)

    async def _ready(self, page: Page, token: str | None, patience: float) -> Recent | None:
        """None: the page has gone meanwhile, or all pages end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while not (self._is_over or page.is_gone()):
            recent = self.recent
            if recent is not None:
                positions = recent.parse(token)
                if positions is None or not recent.is_ahead(positions) or loop.time() >= until:
                    return recent
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), _LOOK_AGAIN)
        page.over.set()
        return None

    def leave(self, page: Page) -> None:
        self._pages.discard(page)

    def begin(self, recent: Recent) -> None:
        self.recent = recent
        self._moved.set()

    def send(self, changes: Sequence[Change]) -> None:
        """Every page gets these changes, in this order."""
        if self.recent is not None:
            self.write(Block(status_events(self.recent.extend(changes))))
            self._moved.set()

    def write(self, block: Block) -> None:
        for page in list(self._pages):
            page.write(block)
            if page.over.is_set():
                self._pages.discard(page)

    def close(self) -> None:
        """All streams end; nothing is read until `begin`, for which pages that come meanwhile wait."""
        self.recent = None
        for page in list(self._pages):
            page.over.set()
        self._pages.clear()

    def end(self) -> None:
        """For good: those that wait end too, and no other comes in."""
        self._is_over = True
        self.close()
        self._moved.set()
