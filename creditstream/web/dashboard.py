"""Lists, counts and rows for the pages: the read replica's answers behind the cache."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.ports import Search
from creditstream.web.cache import Cache
from creditstream.web.queries import Query, new_cursor
from schemas.decision import Status
from schemas.status import Row, StatusRecord, published

#: What a page shows may be this old; meanwhile the database is asked once, however many pages are open.
_TTL = 1.0
T = TypeVar("T")
_REST = 2.0
"""Seconds in which a replica that failed is left alone: who asks then is told at once that it is away."""


class Reads(Protocol):
    """The read replica. Methods raise StoreUnavailable."""

    async def counts_today(self) -> dict[Status, int]: ...

    async def lag(self) -> float | None: ...

    async def search(self, search: Search, limit: int) -> list[Row]: ...

    async def order(self, order_id: UUID) -> Row | None: ...

    async def close(self) -> None: ...


OpenReads = Callable[[], Awaitable[Reads]]


class Today(msgspec.Struct):
    """Orders created today (UTC) by status, and by how many seconds the replica is behind; None: it is no replica."""

    counts: dict[Status, int]
    lag: float | None


class Listed(msgspec.Struct):
    """A page of a list, and the cursor of the next one."""

    orders: list[StatusRecord]
    next: str | None


class Found(msgspec.Struct):
    """An order as the replica has it: its status record, and the reasons, which are not published."""

    order: StatusRecord
    reasons: tuple[str, ...]


_decode_today = msgspec.json.Decoder(Today).decode
_decode_found = msgspec.json.Decoder(Found | None).decode


class Dashboard:
    """Opens its connections at the first question and again after a failure: a worker starts without a replica."""

    def __init__(self, cache: Cache, open_reads: OpenReads) -> None:
        self._cache, self._open_reads = cache, open_reads
        self._reads: Reads | None = None
        self._opening = asyncio.Lock()
        self._away_until = float("-inf")

    async def close(self) -> None:
        await self._cache.close()
        if self._reads:
            await self._reads.close()

    async def today(self) -> Today | None:
        """None: the replica is away."""
        try:
            return _decode_today(await self._cache.get_or_load("today", _TTL, self._load_today))
        except StoreUnavailable:
            return None

    async def orders(self, query: Query) -> bytes:
        """`Listed` as JSON. Raises StoreUnavailable."""
        key = "orders:" + msgspec.json.encode(query).decode()
        return await self._cache.get_or_load(key, _TTL, lambda: self._load_orders(query))

    async def order(self, order_id: UUID) -> Found | None:
        """Raises StoreUnavailable."""
        answer = await self._cache.get_or_load(f"order:{order_id}", _TTL, lambda: self._load_order(order_id))
        found: Found | None = _decode_found(answer)
        return found

    async def _load_today(self) -> Today:
        async def ask(reads: Reads) -> Today:
            return Today(await reads.counts_today(), await reads.lag())

        return await self._ask(ask)

    async def _load_orders(self, query: Query) -> Listed:
        rows = await self._ask(lambda reads: reads.search(query.search, query.limit + 1))
        shown = rows[: query.limit]
        cursor = new_cursor(shown[-1].created_at, shown[-1].order_id) if len(rows) > len(shown) else None
        return Listed([published(row) for row in shown], cursor)

    async def _load_order(self, order_id: UUID) -> Found | None:
        row = await self._ask(lambda reads: reads.order(order_id))
        return Found(published(row), row.reasons) if row else None

    async def _ask(self, question: Callable[[Reads], Awaitable[T]]) -> T:
        """A replica that does not answer costs its time-out once in `_REST`, not each time."""
        clock = asyncio.get_running_loop().time
        if clock() < self._away_until:
            raise StoreUnavailable("the read replica did not answer a moment ago")
        try:
            return await question(await self._open())
        except StoreUnavailable:
            self._away_until = clock() + _REST
            raise

    async def _open(self) -> Reads:
        async with self._opening:
            if self._reads is None:
                self._reads = await self._open_reads()
            return self._reads
