"""The open pages: each change is encoded once and handed to all of them; one that reads too slowly is dropped."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
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
        waiting = self._transport.get_write_buffer_size()
        if waiting > UNREAD:
            self.drop()
            return
        form, sent = block.form(self._gzip, self._chunked), 0
        try:
            if self._descriptor is not None and not waiting:
                sent = form.send(self._descriptor)
        except OSError:  # it went a moment ago
            self.drop()
        else:
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

    def __init__(self) -> None:
        self._pages: set[Page] = set()
        self._joining = 0
        self.recent: Recent | None = None
        self._moved = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._pages) + self._joining

    @property
    def full(self) -> bool:
        return len(self) >= MOST_PAGES

    async def join(self, page: Page, token: str | None, patience: float) -> None:
        """Say hello, send what the page has missed since `token`, and from now on whatever comes.

        Waits while nothing is being read yet, and for `patience` seconds when the page knows more than this worker.
        """
        self._joining += 1
        try:
            recent = await self._ready(page, token, patience)
        finally:
            self._joining -= 1
        if page.is_gone():
            return
        positions = recent.parse(token)
        missed = None if positions is None else recent.replay(positions)
        if missed is None or token is None:
            hello = event("hello", b'{"resumed":false}', recent.token())
        else:
            hello = event("hello", b'{"resumed":true}', token)
        page.write(Block(hello + status_events(missed or [])))
        self._pages.add(page)

    async def _ready(self, page: Page, token: str | None, patience: float) -> Recent:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            recent = self.recent
            if recent is not None and page.is_gone():
                return recent
            if recent is not None:
                positions = recent.parse(token)
                if positions is None or not recent.is_ahead(positions) or loop.time() >= until:
                    return recent
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), _LOOK_AGAIN)

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
        """All streams end; nothing is read until `begin`."""
        self.recent = None
        for page in list(self._pages):
            page.over.set()
        self._pages.clear()
