"""What the pages show: the read replica's answers, behind the cache, or the word that the replica is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.web.cache import Cache
from schemas.decision import Status
from schemas.status import Row, StatusRecord, encode_status

#: A page may be this old; between two looks at it the database is asked once, however many pages are open.
_TTL = 1.0
_NEWEST = 50


class Reads(Protocol):
    """The read replica. Methods raise StoreUnavailable."""

    async def counts_today(self) -> dict[Status, int]: ...

    async def newest(self, limit: int) -> list[Row]: ...

    async def order(self, order_id: UUID) -> Row | None: ...

    async def close(self) -> None: ...


class Board(NamedTuple):
    """Today's counts by status and the newest orders. Not `available`: the replica is away, both are empty."""

    counts: dict[Status, int]
    newest: list[StatusRecord]
    available: bool


class _Answer(msgspec.Struct):
    counts: dict[Status, int]
    newest: list[StatusRecord]


_decode = msgspec.json.Decoder(_Answer).decode


class Dashboard:
    """Opens its connections at the first question and again after a failure: a worker starts without a replica."""

    def __init__(self, cache: Cache, open_reads: Callable[[], Awaitable[Reads]]) -> None:
        self._cache, self._open_reads = cache, open_reads
        self._reads: Reads | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        await self._cache.close()
        if self._reads:
            await self._reads.close()

    async def board(self) -> Board:
        """Never raises for a service that is away."""
        try:
            answer = _decode(await self._cache.get_or_load("board", _TTL, self._load_board))
        except StoreUnavailable:
            return Board({}, [], available=False)
        return Board(answer.counts, answer.newest, available=True)

    async def order(self, order_id: UUID) -> bytes | None:
        """One order's status record as JSON, None if there is none. Raises StoreUnavailable."""
        row = await (await self._open()).order(order_id)
        return encode_status(row) if row else None

    async def _load_board(self) -> dict[str, Any]:
        reads = await self._open()
        newest = [msgspec.convert(row, StatusRecord, from_attributes=True) for row in await reads.newest(_NEWEST)]
        return {"counts": await reads.counts_today(), "newest": newest}

    async def _open(self) -> Reads:
        async with self._opening:
            if self._reads is None:
                self._reads = await self._open_reads()
            return self._reads
