"""Lists, counts and rows for the pages: the read replica's answers behind the cache."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.order.ports import Search
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.queries import Query, new_cursor
from schemas.decision import Status
from schemas.status import Row, StatusRecord, published

#: What a page shows may be this old; meanwhile the database is asked once, however many pages are open.
_TTL = 1.0
T = TypeVar("T")
_PATIENCE = 2.0
"""Seconds for a question. A server that is frozen takes connections and says nothing."""
_REST = 2.0
"""Seconds between two looks at a replica that is away: who asks meanwhile is told so at once."""


class Reads(Protocol):
    """The read replica. Methods raise StoreUnavailable."""

    async def counts_today(self) -> dict[Status, int]: ...

    async def lag(self) -> float | None: ...

    async def search(self, search: Search, limit: int) -> list[Row]: ...

    async def order(self, order_id: UUID) -> Row | None: ...

    def drop(self) -> None: ...

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
_decode_listed = msgspec.json.Decoder(Listed).decode
_decode_found = msgspec.json.Decoder(Found | None).decode


class Dashboard:
    """Opens its connections at the first question and again after a failure: a worker starts without a replica."""

    def __init__(self, cache: Cache, open_reads: OpenReads) -> None:
        self._cache, self._open_reads = cache, open_reads
        self._reads: Reads | None = None
        self._opening = asyncio.Lock()
        self._is_away, self._look_at = False, float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        await self._cache.close()
        if self._reads:
            await self._reads.close()

    async def today(self) -> Today | None:
        """None: the replica is away."""
        try:
            return _decode_today(await self._cache.get_or_load("today", _TTL, self._load_today, _decode_today))
        except StoreUnavailable:
            return None

    async def orders(self, query: Query) -> bytes:
        """`Listed` as JSON. Raises StoreUnavailable."""
        key = "orders:" + msgspec.json.encode(query).decode()
        return await self._cache.get_or_load(key, _TTL, lambda: self._load_orders(query), _decode_listed)

    async def order(self, order_id: UUID) -> Found | None:
        """Raises StoreUnavailable."""
        answer = await self._cache.get_or_load(
            f"order:{order_id}", _TTL, lambda: self._load_order(order_id), _decode_found
        )
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
        """Nobody waits for a replica that is known to be away: one look at a time finds out when it is back."""
        if self._is_away:
            self._look()
            raise StoreUnavailable("the read replica did not answer a moment ago")
        try:
            return await self._try(question)
        except StoreUnavailable:
            self._is_away = True  # until a look says that it was this question only
            self._look()
            raise

    def _look(self) -> None:
        if asyncio.get_running_loop().time() >= self._look_at and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._find_out())

    async def _find_out(self) -> None:
        try:
            await self._try(lambda reads: reads.lag())
        except StoreUnavailable:
            self._look_at = asyncio.get_running_loop().time() + _REST
        else:
            self._is_away = False

    async def _try(self, question: Callable[[Reads], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await question(await self._open())
        except TimeoutError:
            if self._reads:
                self._reads.drop()
            raise StoreUnavailable("the read replica does not answer") from None

    async def _open(self) -> Reads:
        async with self._opening:
            if self._reads is None:
                self._reads = await self._open_reads()
            return self._reads
