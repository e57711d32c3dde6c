"""Brings back what was published: rows that are lacking or older, erasures, removed orders, and orders' metadata."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid4

from rich.progress import Progress

from creditstream.config.settings import Settings
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, topic_name
from creditstream.operations.reminders import ask_for
from creditstream.operations.restore.judge import judged, settled
from creditstream.operations.restore.rows import RestoredRows
from creditstream.operations.restore.topic import pages
from creditstream.store.maintenance import Maintenance
from schemas.status import Row, StatusRecord, Told


class Done(NamedTuple):
    """What was done, or would be, in orders. `restored` were lacking, `newer` were older than published; `removed` had
    gone with their month; `twice` were decided or published in two ways, and the first decision stays."""

    restored: int = 0
    newer: int = 0
    removed: int = 0
    twice: int = 0
    no_metadata: int = 0
    no_reasons: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.restored or self.newer or self.removed or self.twice)


class Statuses:
    """One reading of `order-status`. Each page is written before the next one: broken off, it is run again."""

    def __init__(self, settings: Settings, session: Maintenance, bars: Progress, *, dry_run: bool) -> None:
        self._settings, self._session, self._bars, self._dry_run = settings, session, bars, dry_run
        self._rows = RestoredRows(session)
        #: This run's, for the workers: they stand still from the first row that is written on.
        self.report: UUID | None = None
        #: As the fields of `Done`.
        self.counts: Counter[str] = Counter()
        #: Of a dry run: what was counted before.
        self._counted: set[UUID] = set()
        self._twice: set[UUID] = set()
        #: Rows whose status is to be published again.
        self.to_publish: list[UUID] = []

    async def run(self) -> None:
        """Raises StoreUnavailable, BrokerUnavailable or StartError."""
        async for page in self._pages("order-status"):
            await self._page(page)
        if self._twice:
            await self._settle()
        self.counts["twice"] = len(self._twice)

    async def publish_again(self) -> None:
        """The orders' workers do, when they go on. Raises BrokerUnavailable."""
        if not self.to_publish:
            return
        name = topic_name(self._settings, ORDER_STATUS)
        topics = await Topics.open(self._settings, [name], last=0)
        await topics.close()
        rows = (await self._rows.look(self.to_publish)).rows
        publisher = await Publisher.open(self._settings)
        try:
            await ask_for(self._settings, publisher, rows, topics.partitions(name))
        finally:
            await publisher.close()

    async def _pages(self, doing: str) -> AsyncIterator[dict[UUID, Told]]:
        name = topic_name(self._settings, ORDER_STATUS)
        topics = await Topics.open(self._settings, [name])
        bar = self._bars.add_task(doing, total=topics.size(name))
        try:
            async for records in topics.read(name):
                for page in pages(records):
                    yield page
                self._bars.advance(bar, len(records))
        finally:
            await topics.close()

    async def _page(self, page: Mapping[UUID, Told]) -> None:
        here = await self._rows.look(page.keys())
        rows, dropped = here.by_id, await self._rows.dropped()
        lacking: dict[UUID, StatusRecord] = {}
        removed: dict[UUID, datetime] = {}
        for order_id, told in page.items():
            held = rows.get(order_id)
            if isinstance(told, datetime):
                if held is not None and held.updated_at < told:
                    removed[order_id] = told
            elif not here.went(told, dropped):
                verdict = judged(told, held)
                if verdict == "write":
                    lacking[order_id] = told
                elif verdict == "look":
                    self._twice.add(order_id)
        if self._dry_run:
            self._count(lacking, rows, len(removed))
            return
        if lacking:
            await self._write(lacking, _lacking_still)
        if removed:
            await self._stop_workers()
            self.counts["removed"] += await self._rows.remove(removed)

    def _count(self, lacking: Mapping[UUID, StatusRecord], rows: Mapping[UUID, Row], removed: int) -> None:
        new = lacking.keys() - self._counted
        self._counted |= new
        self.counts["restored"] += len(new - rows.keys())
        self.counts["newer"] += len(new & rows.keys())
        self.counts["removed"] += removed

    async def _write(
        self, told: Mapping[UUID, StatusRecord], choose: Callable[[StatusRecord, Row | None], StatusRecord | None]
    ) -> None:
        await self._stop_workers()
        await self._rows.write(told, choose)

    async def _stop_workers(self) -> None:
        if self.report is None:
            self.report = uuid4()
            await self._session.value("restore_stop_workers", {"report": str(self.report)})

    async def _settle(self) -> None:
        """Orders that were written in two ways: what was published of each is read once more."""
        histories: dict[UUID, list[StatusRecord]] = defaultdict(list)
        async for page in self._pages("decided twice"):
            for order_id in page.keys() & self._twice:
                told = page[order_id]
                if isinstance(told, datetime):
                    histories.pop(order_id, None)
                else:
                    histories[order_id].append(told)
        if self._dry_run:
            return
        now = datetime.now(UTC)
        for order_id, history in histories.items():
            await self._write({order_id: history[0]}, partial(self._first_decision, history, now))

    def _first_decision(
        self, history: list[StatusRecord], now: datetime, _told: StatusRecord, held: Row | None
    ) -> StatusRecord | None:
        row, publish = settled(history, held, now)
        if publish:
            self.to_publish.append(history[0].order_id)
        return row


def _lacking_still(told: StatusRecord, held: Row | None) -> StatusRecord | None:
    """Under the lock: what it was before may not be so any more."""
    return told if judged(told, held) == "write" else None
