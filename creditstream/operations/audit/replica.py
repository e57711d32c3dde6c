"""The read replica, before it is read: it gets a moment to catch up."""

import asyncio
import time

from creditstream.config.settings import Settings
from creditstream.store.database import Database
from creditstream.store.pages import REPLICA, named
from creditstream.store.replica import Replica

#: Seconds. A replica that stays behind is read as it is: what it does not know is asked of the primary.
_PATIENCE = 10.0
_POLL = 0.05


async def wait_for_replica(settings: Settings) -> None:
    """Returns when the replica has what the primary has now, or some seconds later; at once if there is none.

    Raises StartError or StoreUnavailable.
    """
    if not settings.postgres_replica_dsn:
        return
    primary = await Database.open(settings.postgres_dsn, size=1)
    try:
        position = str(await primary.value("primary_position"))
    finally:
        await primary.close()
    with named(REPLICA):
        replica = await Replica.open(settings)
        try:
            await _until_it_has(replica, position)
        finally:
            await replica.close()


async def _until_it_has(replica: Replica, position: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if await replica.has(position):
            return
        await asyncio.sleep(_POLL)
