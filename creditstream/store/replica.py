"""The read replica, asked how far it is, on a connection of its own: the dashboard's searches do not count."""

from typing import Self

from creditstream.config.settings import Settings
from creditstream.store.database import Database


class Replica:
    """Methods raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Raises StartError (bad DSN) or StoreUnavailable."""
        setting = "CREDITSTREAM_POSTGRES_REPLICA_DSN"
        return cls(await Database.open(settings.postgres_replica_dsn, size=1, setting=setting))

    async def has(self, position: str) -> bool:
        """Whether it shows what the primary's log held up to `position`, as `PostgresStore.position` gives it.

        The primary in the replica's place always does; a replica that was promoted never.
        """
        return bool(await self._database.value("replica_has", {"position": position}))

    async def close(self) -> None:
        await self._database.close()
