"""An order's metadata are stored as they came with its first record, and no query brings them back."""

import asyncio
from typing import Any

import msgspec

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from schemas.decision import Decision
from tests.support.database import Database

APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
GIVEN: dict[str, Any] = {"canal": "aplicação", "n": [1, None, True, 1.5, {"": ""}]}


def test_the_first_metadata_stay(database: Database) -> None:
    async def scenario() -> None:
        store = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
        try:
            order = an_order(metadata=GIVEN)
            await store.commit([a_proposal(order)])
            await store.commit([a_proposal(msgspec.structs.replace(order, metadata={"trace": "2"}), APPROVED)])
        finally:
            await store.close()

    asyncio.run(scenario())
    assert database.fetch("SELECT metadata, status FROM orders") == [(GIVEN, "approved")]
