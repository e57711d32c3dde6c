"""Lists, counts and rows for the pages: the read replica's answers behind the cache, one order's also the primary's."""

from collections import Counter
from uuid import UUID

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.queries import Query, new_cursor
from creditstream.web.answers.source import Busy, OpenReads, Reads, Source
from schemas.decision import Status
from schemas.status import Row, StatusRecord, published

#: What a page shows may be this old; meanwhile the database is asked once, however many pages are open.
_TTL = 1.0
_BEHIND = 1.0
"""Seconds. Of a replica that is behind by more the primary is asked for one order."""
_AT_THE_PRIMARY = 8
"""Questions at a time, for one connection: pages never take the primary's time from orders."""


class Today(msgspec.Struct):
    """Orders created today (UTC) by status, and by how many seconds the replica is behind; None: it is no replica."""

    counts: dict[Status, int]
    lag: float | None


class Listed(msgspec.Struct):
    """A page of a list, and the cursor of the next one."""

    orders: list[StatusRecord]
    next: str | None


class Found(msgspec.Struct):
    """An order as a database has it: its status record, and the reasons, which are not published."""

    order: StatusRecord
    reasons: tuple[str, ...]


_decode_today = msgspec.json.Decoder(Today).decode
_decode_listed = msgspec.json.Decoder(Listed).decode
_decode_found = msgspec.json.Decoder(Found | None).decode


class Dashboard:
    """Connects to nothing before somebody looks."""

    def __init__(self, cache: Cache, open_reads: OpenReads, open_primary: OpenReads | None = None) -> None:
        """`open_primary`: where the reads are not the primary's own."""
        self._cache, self._replica = cache, Source("read replica", open_reads)
        self._primary = Source("primary", open_primary, _AT_THE_PRIMARY) if open_primary else None
        #: Questions to the primary by what came of them: found, none, busy, error; for the metrics.
        self.primary_lookups: Counter[str] = Counter()

    async def close(self) -> None:
        await self._cache.close()
        await self._replica.close()
        if self._primary:
            await self._primary.close()

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

        return await self._replica.ask(ask)

    async def _load_orders(self, query: Query) -> Listed:
        rows = await self._replica.ask(lambda reads: reads.search(query.search, query.limit + 1))
        shown = rows[: query.limit]
        cursor = new_cursor(shown[-1].created_at, shown[-1].order_id) if len(rows) > len(shown) else None
        return Listed([published(row) for row in shown], cursor)

    async def _load_order(self, order_id: UUID) -> Found | None:
        row = await self._newest(order_id)
        return Found(published(row), row.reasons) if row else None

    async def _newest(self, order_id: UUID) -> Row | None:
        """The replica's, and the primary's where the replica may not have it yet. What it has not, nobody has."""

        async def ask(reads: Reads) -> tuple[Row | None, float]:
            lag = await reads.lag() or 0.0  # first: it may catch up between the two
            return await reads.order(order_id), lag

        try:
            row, lag = await self._replica.ask(ask)
        except StoreUnavailable:
            if self._primary is None:
                raise
            return await self._of_the_primary(self._primary, order_id)
        if self._primary is None or (row is not None and lag <= _BEHIND):
            return row
        try:
            return await self._of_the_primary(self._primary, order_id)
        except StoreUnavailable:
            if row is None:
                raise
            return row

    async def _of_the_primary(self, primary: Source, order_id: UUID) -> Row | None:
        outcome = "error"
        try:
            row = await primary.ask(lambda reads: reads.order(order_id))
            outcome = "none" if row is None else "found"
            return row
        except Busy:
            outcome = "busy"
            raise
        finally:
            self.primary_lookups[outcome] += 1
