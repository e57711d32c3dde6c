"""`restore` on real servers: every kind of loss at once, broken off anywhere, and orders that were decided twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.progress import progress_bars
from creditstream.operations.restore.command import restore, told
from creditstream.operations.restore.restoring import Done
from creditstream.order.ports import Proposal
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, Row, encode_status
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.past import Past
from tests.support.servers import Servers

_APPROVED = Decision(status="approved", reason="score_above_threshold", reasons=("good",), score=712)
_REJECTED = Decision(status="rejected", reason="score_below_threshold", score=100)
_OLD = datetime(2025, 2, 10, 12, tzinfo=UTC)
_ROW = "SELECT order_id::text, customer_id, status, version, metadata::text, reasons::text FROM orders ORDER BY 1"
_LOCKS = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
def past(stack: Servers, database: Database) -> Iterator[Past]:
    past = Past(stack, database)
    yield past
    past.remove()


class Story:
    """A database that was kept, what was committed and published since, and its coming back."""

    def __init__(self, database: Database, topics: Topics, past: Past) -> None:
        self.database, self.topics, self.past = database, topics, past
        self.settings: Settings = replace(topics.settings, postgres_dsn=Secret(database.dsn))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresStore]:
        store = await PostgresStore.open(self.settings)
        try:
            yield store
        finally:
            await store.close()

    async def commit(self, order: Order, decision: Decision) -> Row:
        async with self.store() as store:
            proposal: Proposal = a_proposal(order, decision)
            answer = (await store.commit([proposal]))[order.order_id]
        assert isinstance(answer, Row)
        return answer

    async def publish(self, *rows: Row) -> None:
        records = [(str(row.order_id).encode(), encode_status(row)) for row in rows]
        await self.topics.aproduce("order-status", records)

    async def tombstone(self, *orders: Order) -> None:
        await self.topics.aproduce("order-status", [(str(order.order_id).encode(), None) for order in orders])

    async def send(self, *orders: Order) -> None:
        await self.topics.aproduce("orders", [(None, msgspec.json.encode(order)) for order in orders])

    async def restore(self, *, dry_run: bool = False, dies_at: str = "") -> Done:
        async with only_one(self.settings, "restore") as session:
            with progress_bars(shown=False) as bars:
                used = Mortal(session, dies_at) if dies_at else session
                return await restore(self.settings, used, bars, dry_run=dry_run)

    def rows(self) -> dict[str, tuple[Any, ...]]:
        return {str(order_id): tuple(rest) for order_id, *rest in self.database.fetch(_ROW)}


class Dies(Exception):
    """As kill -9: the session ends with it."""


class Mortal(Maintenance):
    """Dies after the named statement, before its answer is used."""

    def __init__(self, session: Maintenance, dies_at: str) -> None:
        super().__init__(session._cursor)
        self._dies_at = dies_at

    async def value(self, name: str, parameters: Mapping[str, object] | None = None) -> Any:
        value = await super().value(name, parameters)
        if name == self._dies_at:
            self._cursor.connection.close()
            raise Dies
        return value


def forgotten(row: Row) -> Row:
    return replace(row, customer_id=FORGOTTEN_CUSTOMER, version=row.version + 1, fingerprint=FORGOTTEN)


async def lose_all_kinds(story: Story) -> dict[str, tuple[Any, ...]]:
    """What has to be there afterwards."""
    with_metadata = {"metadata": {"channel": "app", "phone": "5511"}}
    same, undecided, erased, dropped, new, old_and_new, new_erased, no_record = (
        an_order(**with_metadata, **({"created_at": _OLD} if number in (3, 5) else {})) for number in range(8)
    )
    kept = [
        await story.commit(same, _APPROVED),
        await story.commit(undecided, Decision(status="under_review", reason="risk_unavailable")),
    ]
    kept += [await story.commit(erased, _APPROVED), await story.commit(dropped, _APPROVED)]
    await story.publish(*kept)
    story.past.keep()
    decided = replace(
        kept[1], status="approved", reason="score_above_threshold", score=650, version=2, updated_at=datetime.now(UTC)
    )
    first = await story.commit(new, Decision(status="under_review", reason="risk_unavailable"))
    await story.publish(decided, forgotten(kept[2]), first)
    await story.publish(await story.commit(new, _APPROVED))
    told = await story.commit(new_erased, _REJECTED)
    await story.publish(await story.commit(old_and_new, _APPROVED), told, forgotten(told))
    await story.publish(await story.commit(no_record, _REJECTED))
    await story.send(*(each for each in (same, undecided, erased, dropped, new, old_and_new, new_erased)))
    await story.tombstone(dropped, old_and_new)
    story.past.come_back()
    metadata = '{"phone": "5511", "channel": "app"}'
    return {
        str(same.order_id): ("c-102", "approved", 1, metadata, '["good"]'),
        str(undecided.order_id): ("c-102", "approved", 2, metadata, "[]"),
        str(erased.order_id): (FORGOTTEN_CUSTOMER, "approved", 2, "{}", '["good"]'),
        str(new.order_id): ("c-102", "approved", 2, metadata, "[]"),
        str(new_erased.order_id): (FORGOTTEN_CUSTOMER, "rejected", 2, "{}", "[]"),
        str(no_record.order_id): ("c-102", "rejected", 1, "{}", "[]"),
    }


def test_every_kind_of_loss(database: Database, topics: Topics, past: Past) -> None:
    async def scenario() -> None:
        story = Story(database, topics, past)
        right = await lose_all_kinds(story)
        before = story.rows()
        would = await story.restore(dry_run=True)
        assert (would.restored, would.newer, would.removed) == (4, 2, 1)
        assert story.rows() == before and database.fetch("SELECT count(*) FROM taken_back") == [(0,)]
        done = await story.restore()
        assert story.rows() == right
        assert (done.restored, done.newer, done.removed) == (3, 2, 2)
        assert (done.no_metadata, done.no_reasons) == (1, 4)
        assert database.fetch("SELECT count(*) FROM order_keys") == [(8,)], "what was removed is known still"
        assert database.fetch("SELECT month::date::text FROM dropped_months") == [("2025-02-01",)]
        assert database.fetch("SELECT count(*) FROM order_keys WHERE fingerprint = %s", (FORGOTTEN,)) == [(2,)]
        assert database.fetch("SELECT count(*) FROM taken_back WHERE restored_at IS NULL") == [(0,)]
        again = await story.restore()
        assert again.nothing and told(again, dry_run=False)[0].startswith("PostgreSQL has all")

    asyncio.run(scenario())


_STEPS = (
    "restore_reports restore_look restore_stop_workers restore_month restore_lock restore_write restore_commit "
    "restore_remove restore_lacks_metadata restore_metadata restore_counts restore_end"
)


def test_it_is_broken_off_after_any_of_its_steps_and_run_again(database: Database, topics: Topics, past: Past) -> None:
    async def scenario() -> None:
        story = Story(database, topics, past)
        right = await lose_all_kinds(story)
        for step in _STEPS.split():
            with pytest.raises(Dies):
                await story.restore(dies_at=step)
            wait_for(lambda: database.fetch(_LOCKS) == [(0,)], 60, "PostgreSQL notices that nobody is there")
            stopped = database.fetch("SELECT count(*) FROM taken_back WHERE restored_at IS NULL") != [(0,)]
            began = step not in ("restore_reports", "restore_look")
            assert stopped == (began and step != "restore_end"), "workers stand still from the first row on to the end"
        await story.restore()
        assert story.rows() == right

    asyncio.run(scenario())


def test_what_was_decided_and_published_first_stays(database: Database, topics: Topics, past: Past) -> None:
    async def scenario() -> None:
        story = Story(database, topics, past)
        unseen, seen = an_order(), an_order()
        past.keep()
        first = [await story.commit(each, _APPROVED) for each in (unseen, seen)]
        await story.publish(*first)
        past.come_back()
        second = [await story.commit(each, _REJECTED) for each in (unseen, seen)]
        await story.publish(second[1])
        done = await story.restore()
        assert done.twice == 2
        rows = story.rows()
        assert rows[str(unseen.order_id)][1:3] == ("approved", 1), "nobody was told otherwise"
        assert rows[str(seen.order_id)][1:3] == ("approved", 2), "by which whoever was told otherwise is told again"
        asked = await asyncio.to_thread(topics.consume_all, "orders-retry")
        assert [record.key for record in asked] == [str(seen.order_id).encode()]
        await story.restore()
        assert story.rows() == rows

    asyncio.run(scenario())


def test_one_at_a_time(database: Database, topics: Topics, past: Past) -> None:
    async def scenario() -> None:
        story = Story(database, topics, past)
        async with only_one(story.settings, "restore"):
            with pytest.raises(StartError, match="another `restore` is at work"):
                await story.restore()

    asyncio.run(scenario())
