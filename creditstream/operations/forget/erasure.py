"""Removes a customer's data: rows first, then what workers hold of them, then the dead letters.

In this order: until a worker has the changed row it judges by the old one, and what it judged may have a letter.
"""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
from rich.progress import Progress

from creditstream.config.settings import Settings
from creditstream.kafka.admin import Cluster
from creditstream.kafka.client import open_admin
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import (
    ORDER_STATUS,
    ORDERS,
    ORDERS_BY_ID,
    ORDERS_DEAD_LETTER,
    ORDERS_RETRY,
    SEEN_CHANGELOG,
    topic_name,
)
from creditstream.operations.forget.behind import records_behind
from creditstream.operations.forget.letters import Concerns, blank, concerning, last_ones
from creditstream.operations.forget.statuses import watching
from creditstream.operations.undisturbed import refuse_taken_back
from creditstream.store.maintenance import Maintenance
from schemas.status import FORGOTTEN_CUSTOMER, Row

_PAGE = 500
_decode_rows = msgspec.json.Decoder(list[Row]).decode


class Found(msgspec.Struct, frozen=True):
    """What there is of the customer. `undecided`: orders that are still on their way; they cannot be forgotten yet.

    `waiting`: orders of any customer whom an earlier request forgot, and whose status is not published again yet.
    """

    orders: int
    undecided: int
    letters: int = 0
    waiting: int = 0

    @property
    def nothing(self) -> bool:
        """Neither anything of this customer, nor what an earlier request left undone."""
        return not (self.orders or self.undecided or self.letters or self.waiting)


class Forgotten(NamedTuple):
    """`unpublished`: orders whose status no worker has published again. `behind`: records that workers may have judged
    by what they knew before, and are not done with. With either, run the command again.
    """

    request: UUID
    orders: int
    letters: int
    unpublished: int
    behind: int


class Forget:
    """One request, on a session that holds the advisory lock."""

    def __init__(self, settings: Settings, session: Maintenance, customer: str, bars: Progress) -> None:
        self._settings, self._session, self._bars = settings, session, bars
        self._customer = customer
        age = settings.retry_max_age + settings.retry_max_delay
        self._whose = {"customer": customer, "forgotten": FORGOTTEN_CUSTOMER, "age": age, "limit": _PAGE}

    async def refusal(self) -> str | None:
        """Why nobody can be forgotten now. If nothing is: until the session ends no `retention` begins."""
        if not await self._session.value("try_only_one", {"what": "retention"}):
            return "`retention` or `restore` is at work on this database: run this again when that is done"
        if await self._session.value("begun_drops"):
            return "a month that is being dropped may come back with its orders: run `retention` to its end first"
        return None

    async def look(self) -> Found:
        """Changes nothing. Of a PostgreSQL that was taken back nobody can say what there is: raises StoreTakenBack."""
        await refuse_taken_back(self._settings, "forget")
        found = await self._session.json("forget_count", self._whose)
        name = topic_name(self._settings, ORDERS_DEAD_LETTER)
        topics = await Topics.open(self._settings, [name])
        try:
            _, letters = await last_ones(topics, name, concerning(self._customer, ()), self._bar("dead letters"))
        finally:
            await topics.close()
        return Found(**found, letters=letters, waiting=len(await self._rows_to_publish()))

    async def run(self, by: str, wait: float) -> Forgotten:
        """Broken off, it is run again."""
        await refuse_taken_back(self._settings, "forget")
        request = uuid4()
        await self._session.value("forget_begin", {"request": str(request), "by": by})
        orders = await self._anonymise()
        waiting = await self._rows_to_publish()
        missing = await self._publish(waiting, wait)
        behind = await records_behind(self._settings, wait) if waiting and not missing else 0
        letters = await self._blank_letters(request, {row.order_id for row in waiting})
        over = not missing and not behind
        if over:  # else all of it is looked for once more: letters are known by their orders' ids, too
            await self._published(waiting)
        numbers = {"request": str(request), "orders": orders, "letters": letters, "finished": over}
        await self._session.value("forget_end", numbers)
        return Forgotten(request, orders, letters, len(missing), behind)

    async def remains(self) -> dict[str, str]:
        """Topics that may still hold records of the customer, and for how long, by their settings."""
        admin = await open_admin(self._settings)
        try:
            cluster = Cluster(admin)
            hours = {}
            for topic in (ORDERS, ORDERS_BY_ID, ORDERS_RETRY):
                config = await cluster.topic_config(topic_name(self._settings, topic))
                hours[topic] = _hours(config["retention.ms"])
            config = await cluster.topic_config(topic_name(self._settings, ORDER_STATUS))
            hours[ORDER_STATUS] = _hours(config["max.compaction.lag.ms"])
        finally:
            await admin.close()
        return hours

    async def _anonymise(self) -> int:
        changed, advance = 0, self._bar("rows")
        while page := await self._session.value("forget_page", self._whose):
            changed += page
            advance(page)
        return changed

    async def _rows_to_publish(self) -> list[Row]:
        """Of this request, and of an earlier one that was broken off."""
        return _decode_rows(await self._session.value("forgotten_unpublished"))

    async def _blank_letters(self, request: UUID, order_ids: set[UUID]) -> int:
        name, concerns = topic_name(self._settings, ORDERS_DEAD_LETTER), concerning(self._customer, order_ids)
        topics = await Topics.open(self._settings, [name])
        try:
            last, found = await last_ones(topics, name, concerns, self._bar("dead letters"))
            if found:
                await self._rewrite(topics, name, last, concerns, request)
        finally:
            await topics.close()
        return found

    async def _rewrite(
        self, topics: Topics, name: str, last: dict[int, int], concerns: Concerns, request: UUID
    ) -> None:
        admin = await open_admin(self._settings)
        try:
            publisher = await Publisher.open(self._settings)
            try:
                await blank(topics, name, last, concerns, request, (publisher, Cluster(admin)))
            finally:
                await publisher.close()
        finally:
            await admin.close()

    async def _publish(self, rows: list[Row], wait: float) -> set[UUID]:
        """Returns the orders whose row no worker has within `wait` seconds."""
        if not rows:
            return set()
        name = topic_name(self._settings, SEEN_CHANGELOG)
        topics = await Topics.open(self._settings, [name])
        await topics.close()
        publisher = await Publisher.open(self._settings)
        try:
            async with watching(self._settings, topics.partitions(name)) as watch:
                return await watch.until_published(publisher, rows, wait, self._bar("statuses"))
        finally:
            await publisher.close()

    async def _published(self, rows: list[Row]) -> None:
        ids = ",".join(str(row.order_id) for row in rows)
        await self._session.value("forgotten_published", {"ids": "{" + ids + "}"})

    def _bar(self, name: str) -> Callable[[int], None]:
        task = self._bars.add_task(name, total=None)
        return lambda done: self._bars.advance(task, done)


def _hours(milliseconds: str) -> str:
    number = int(milliseconds)
    return "for ever" if number < 0 or number > 2**62 else f"{number / 3_600_000:g} h"
