"""Drops old months, removes their orders from order-status, and, later, their ids."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from rich.progress import Progress

from creditstream.config.retention import months_before
from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from creditstream.store.errors import BadRow
from creditstream.store.maintenance import Maintenance

#: Ids in one statement: a lock is held for some 50 ms.
_PAGE = 5_000
_FIRST = str(UUID(int=0))


class Month(msgspec.Struct, frozen=True):
    """A month before the cutoff. `recent`: rows written since. Of those under review `undecided` are still tried."""

    month: str
    orders: int
    recent: int
    undecided: int
    for_a_person: int

    @property
    def goes(self) -> bool:
        """A month with a row that was written lately stays: an old `created_at` does not make an order old."""
        return self.recent == 0

    @property
    def name(self) -> str:
        return self.month[:7]


class Done(NamedTuple):
    """What was removed. `kept`: of months that were not, after all, how many of their orders were written since.

    `failed`: why a month was neither dropped nor kept. The next run tries again.
    """

    months: list[str]
    kept: dict[str, int]
    failed: dict[str, str]
    tombstones: int
    keys: int


async def cutoff_of(session: Maintenance, settings: Settings) -> datetime:
    """Months that end by then are old, and rows that were written since are not. By PostgreSQL's clock.

    With the setting 0 no month is old.
    """
    months = settings.retention_months
    return months_before(await _now(session), months) if months else datetime.min.replace(tzinfo=UTC)


async def expired_months(session: Maintenance, cutoff: datetime) -> list[Month]:
    """Oldest first."""
    return msgspec.convert(json.loads(await session.patient_value("expired_months", {"cutoff": cutoff})), list[Month])


async def clean(
    session: Maintenance, settings: Settings, cutoff: datetime, months: list[Month], bars: Progress
) -> Done:
    """Drop `months` and what an earlier run left. Every step can be broken off and run again.

    `cutoff`: a month is kept if one of its orders was written since.
    """
    drops = _Drops(session, cutoff)
    begun = await session.json("begun_months")
    for each in begun:
        await drops.end(each)
    # One that was begun, and not detached yet, is among the expired ones as well.
    for month in bars.track([month for month in months if month.month not in begun], description="months"):
        await session.value("begin_drop", {"month": month.month, "orders": month.orders})
        await drops.end(month.month)
    tombstones = await _publish(session, settings, bars) if await session.value("unpublished_months") else 0
    dropped = [month for month, orders in drops.written.items() if not orders]
    kept = {month: orders for month, orders in drops.written.items() if orders}
    return Done(dropped, kept, drops.failed, tombstones, await _delete_keys(session, settings, bars))


class _Drops:
    """Ends drops that were begun. One that cannot be ended leaves the others alone."""

    def __init__(self, session: Maintenance, cutoff: datetime) -> None:
        self._session, self._cutoff = session, cutoff
        #: By month, how many of its orders were written since: by them it is kept.
        self.written: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    async def end(self, month: str) -> None:
        others = await self._session.value("other_tables", {"month": month})
        if others:
            self.failed[month[:7]] = (
                f"`partition` in dropped_months is not its table's number (a restored dump?): {others}"
            )
            return
        try:
            self.written[month[:7]] = await self._end(month)
        except (BadRow, StoreUnavailable) as error:  # if it is the connection, the next statement says so
            self.failed[month[:7]] = str(error)

    async def _end(self, month: str) -> int:
        """Counted once more when nobody can write to it. Its table has a name of its own then: workers use the old."""
        await self._session.change("detach_statement", {"month": month})
        await self._session.patient_value("set_aside", {"month": month})
        written: int = await self._session.patient_value("keep_month", {"month": month, "cutoff": self._cutoff})
        if not written:
            await self._session.change("drop_statement", {"month": month})
            await self._session.value("end_drop", {"month": month})
        return written


async def _publish(session: Maintenance, settings: Settings, bars: Progress) -> int:
    """A tombstone for each order that is gone: the compacted topic forgets it, and so do tables made from it."""
    topic, published = topic_name(settings, ORDER_STATUS), 0
    topics = await Topics.open(settings, [topic])
    await topics.close()
    upto = await session.value("now")
    publisher = await Publisher.open(settings)
    try:
        async for page in _pages(session, "removed_orders", {"upto": upto}, bars):
            records: dict[int, list[Outgoing]] = defaultdict(list)
            for order_id in page["ids"]:
                home = home_partition(UUID(order_id), topics.partitions(topic))
                records[home].append(Outgoing(order_id.encode(), None))
            if records:
                await publisher.publish(topic, records)
            published += len(page["ids"])
    finally:
        await publisher.close()
    await session.value("end_publishing", {"upto": upto})
    return published


async def _delete_keys(session: Maintenance, settings: Settings, bars: Progress) -> int:
    if not settings.retention_keys_months:
        return 0
    cutoff = months_before(await _now(session), settings.retention_keys_months)
    if not await session.value("expired_key_months", {"cutoff": cutoff}):
        return 0
    return sum([page["deleted"] async for page in _pages(session, "delete_keys", {"cutoff": cutoff}, bars)])


async def _pages(
    session: Maintenance, name: str, parameters: dict[str, object], bars: Progress
) -> AsyncIterator[dict[str, Any]]:
    """The table of ids from its first to its last, by pages in the order of the ids."""
    bar = bars.add_task(name.replace("_", " "), total=await session.value("count_keys"))
    after = _FIRST
    while after is not None:
        page = await session.json(name, parameters | {"after": after, "limit": _PAGE})
        yield page
        bars.advance(bar, _PAGE)
        after = page["last"]


async def _now(session: Maintenance) -> datetime:
    return datetime.fromisoformat(await session.value("now"))
