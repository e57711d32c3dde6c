"""Orders whose month was dropped come again: nobody asks the bureau about them a second time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import Refused
from creditstream.store.orders import PostgresStore
from creditstream.store.reads import Reads
from tests.support.database import Database
from tests.unit.pipeline_rig import Rig, order_json

_LONG_AGO = "2025-02-10T12:00:00Z"


@asynccontextmanager
async def _rig(database: Database) -> AsyncIterator[Rig]:
    """A pipeline over the real store."""
    store: Any = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
    try:
        yield Rig(store=store)
    finally:
        await store.close()


async def _dropped(database: Database) -> UUID:
    """An order that was decided, and whose row has been removed since."""
    order_id = uuid4()
    async with _rig(database) as rig:
        rig.pipeline.accept(rig.record(order_json(order_id, created_at=_LONG_AGO)))
        await rig.run()
        assert [row["status"] for row in rig.publisher.values("order-status")] == ["approved"]
    database.fetch("DELETE FROM orders")
    return order_id


@pytest.mark.parametrize("amount", ["1500.00", "2.00"], ids=["the same", "other content"])
def test_an_order_whose_row_was_removed_costs_no_query(database: Database, amount: str) -> None:
    async def scenario() -> None:
        order_id = await _dropped(database)
        async with _rig(database) as rig:
            rig.pipeline.accept(rig.record(order_json(order_id, created_at=_LONG_AGO, amount=amount)))
            await rig.run()
            assert rig.publisher.reasons() == ["row_removed"]
            assert rig.risk.calls == []
            assert len(rig.acknowledged) == 1 and not rig.flights
            assert rig.publisher.values("order-status") == []
            assert not any(rig.seen.partitions.values())

    asyncio.run(scenario())


def test_it_is_known_beside_a_row_and_a_new_id(database: Database) -> None:
    async def scenario() -> None:
        gone = await _dropped(database)
        async with _rig(database) as rig:
            there, new = uuid4(), uuid4()
            rig.pipeline.accept(rig.record(order_json(there)))
            await rig.run()
            found = await rig.store.find([new, gone, there])
        assert list(found) == [there, gone]
        assert found[gone] == Refused("row_removed", "the order was committed before and its row has been removed")

    asyncio.run(scenario())


def test_for_the_page_it_is_not_there(database: Database) -> None:
    async def scenario() -> None:
        gone = await _dropped(database)
        reads = await Reads.open(Settings(postgres_dsn=Secret(database.dsn)))
        assert await reads.order(gone) is None
        await reads.close()

    asyncio.run(scenario())
