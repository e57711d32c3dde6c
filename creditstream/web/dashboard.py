"""What the pages show: the read replica's answers, behind the cache, or the word that the replica is away."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.settings import Settings
from creditstream.store.reads import Reads
from creditstream.web.cache import Cache
from schemas.decision import Status
from schemas.status import StatusRecord, encode_status

#: A page may be this old; between two looks at it the database is asked once, however many pages are open.
_TTL = 1.0
_NEWEST = 50


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

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = Cache.open(settings)
        self._reads: Reads | None = None

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
        if self._reads is None:
            self._reads = await Reads.open(self._settings)
        return self._reads
