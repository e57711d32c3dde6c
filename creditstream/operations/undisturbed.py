"""Commands that change what was published are refused while PostgreSQL lacks some of it."""

import asyncio
from collections.abc import Sequence

from creditstream.config.settings import Settings
from creditstream.errors import StoreTakenBack, StoreUnavailable
from creditstream.kafka.published import last_published
from creditstream.order.ports import Mark
from creditstream.store.orders import PostgresStore

#: Seconds between two tries, and how many: what was published is known to nobody else once the command has ended.
_AGAIN, _TRIES = 1.0, 60


async def refuse_taken_back(settings: Settings, who: str) -> Sequence[Mark]:
    """`who`: the command. `grow` would replace the statuses by older ones; what `forget` does not see would come back.

    Returns what was published last, for `require_published`. Raises StoreTakenBack, StoreUnavailable, BrokerUnavailable
    or StartError.
    """
    marks = await last_published(settings)
    await require_published(settings, marks, who)
    return marks


async def require_published(settings: Settings, marks: Sequence[Mark], who: str) -> None:
    """What is missing is told to all workers before it is raised: until `restore` has run nobody goes on."""
    for left in reversed(range(_TRIES)):
        try:
            await _require(settings, marks, who)
        except StoreTakenBack:
            raise
        except StoreUnavailable:
            if not left:
                raise
            await asyncio.sleep(_AGAIN)
        else:
            return


async def _require(settings: Settings, marks: Sequence[Mark], who: str) -> None:
    store = await PostgresStore.open(settings)
    try:
        store.expect(marks)
        try:
            await store.ping()
        except StoreTakenBack:
            await store.report(who)
            raise
    finally:
        await store.close()
