"""What the dashboard asks: from the read replica when there is one, so that looking never slows the writing.

What the replica may not have yet is asked of the primary, one order by its key at a time.
"""

from typing import Self
from uuid import UUID

import msgspec
from psycopg2.extensions import make_dsn

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import Search
from creditstream.store.database import Database, check_dsn
from schemas.decision import Status
from schemas.status import Row

_CONNECTIONS = 2
"""The cache asks each question once at a time; two keep a slow search from holding up the counts."""
APPLICATION_NAME = "creditstream-dashboard"
MAX_PAGE = 200
"""Orders in one answer."""

_decode_rows = msgspec.json.Decoder(list[Row]).decode
_decode_counts = msgspec.json.Decoder(dict[Status, int]).decode


class Reads:
    """All methods raise StoreUnavailable, nothing else. A replica may be a moment behind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Raises StartError (bad DSN) or StoreUnavailable."""
        if settings.postgres_replica_dsn:
            setting = "CREDITSTREAM_POSTGRES_REPLICA_DSN"
            return cls(await _open(settings.postgres_replica_dsn, setting, _CONNECTIONS))
        return cls(await _open(settings.postgres_dsn, "CREDITSTREAM_POSTGRES_DSN", _CONNECTIONS))

    @classmethod
    async def open_primary(cls, settings: Settings) -> Self:
        """One connection. Raises as `open`."""
        return cls(await _open(settings.postgres_dsn, "CREDITSTREAM_POSTGRES_DSN", 1))

    def drop(self) -> None:
        """The server does not answer: no connection that is open now is asked again."""
        self._database.drop()

    async def close(self) -> None:
        await self._database.close()

    async def counts_today(self) -> dict[Status, int]:
        """Orders created since midnight UTC, by status; all three are there."""
        counts: dict[Status, int] = {"under_review": 0, "approved": 0, "rejected": 0}
        return counts | _decode_counts(await self._database.value("counts_today"))

    async def lag(self) -> float | None:
        """By how many seconds what this database knows is old; None: it is not a replica."""
        lag: float | None = await self._database.value("replica_lag")
        return lag

    async def newest(self, limit: int) -> list[Row]:
        """The newest orders by `created_at`, newest first."""
        return await self.search(Search(), limit)

    async def search(self, search: Search, limit: int = MAX_PAGE) -> list[Row]:
        """The newest orders that all filters let through, newest first, at most MAX_PAGE."""
        if not (_is_storable(search.customer or "") and _is_storable(search.product or "")):
            return []  # no order has such a value, and the driver would raise
        after, after_id = search.after or (None, None)
        parameters = {
            **search._asdict(),
            "after": after,
            "after_id": after_id and str(after_id),
            "limit": max(0, min(limit, MAX_PAGE)),
        }
        return _decode_rows(await self._database.value("newest_orders", parameters))

    async def order(self, order_id: UUID) -> Row | None:
        """One order, or None."""
        rows = _decode_rows(await self._database.value("find_orders", {"ids": f"{{{order_id}}}"}))
        return rows[0] if rows else None


async def _open(dsn: Secret, setting: str, size: int) -> Database:
    """Under a name of its own in pg_stat_activity: a look there shows whether the dashboard asks this server."""
    check_dsn(dsn, setting)
    named = Secret(make_dsn(dsn.reveal(), application_name=APPLICATION_NAME))
    return await Database.open(named, size=size, setting=setting)


def _is_storable(text: str) -> bool:
    return "\0" not in text and text == text.encode(errors="ignore").decode()
