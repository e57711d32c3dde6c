"""Several workers commit the same orders at the same time: the first write wins, and nobody waits in a circle."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import aiopg

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import Proposal, Refused
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.decision import WAITING, Decision
from schemas.order import Order
from schemas.status import Row
from tests.support.database import ask

APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)
REJECTED = Decision(status="rejected", reason="score_below_threshold", score=310)


async def _two(dsn: str) -> tuple[PostgresStore, PostgresStore]:
    """Of a database that has the month of the usual orders."""
    settings = Settings(postgres_dsn=Secret(dsn))
    ask(dsn, "SELECT ensure_orders_partition(%s)", (an_order().created_at,))
    return await PostgresStore.open(settings), await PostgresStore.open(settings)


def _shuffled(orders: Sequence[Order], decision: Decision, chance: random.Random) -> list[Proposal]:
    return [a_proposal(order, decision) for order in chance.sample(orders, len(orders))]


def test_the_first_decision_wins_for_both(database: Any) -> None:
    async def scenario() -> None:
        one, two = await _two(database.dsn)
        chance = random.Random(7)
        for _ in range(20):
            orders = [an_order() for _ in range(40)]
            answers = await asyncio.gather(
                one.commit(_shuffled(orders, APPROVED, chance)), two.commit(_shuffled(orders, REJECTED, chance))
            )
            assert answers[0] == answers[1]
            rows = [row for row in answers[0].values() if isinstance(row, Row)]
            assert len(rows) == 40
            assert {row.version for row in rows} == {1}
        await asyncio.gather(one.close(), two.close())

    asyncio.run(scenario())


def test_overlapping_batches_never_deadlock(database: Any) -> None:
    """StoreUnavailable (40P01) would end the test. The orders go from waiting to decided meanwhile."""

    async def scenario() -> None:
        stores = await _two(database.dsn)
        chance = random.Random(11)
        orders = [an_order() for _ in range(60)]
        for turn in range(60):
            decision = WAITING if turn % 3 else APPROVED
            if turn % 12 == 0:
                orders = [an_order() for _ in range(60)]
            await asyncio.gather(
                *(store.commit(_shuffled(chance.sample(orders, 45), decision, chance)) for store in stores * 3)
            )
        found = await stores[0].find([order.order_id for order in orders])
        states = {(row.status, row.version) for row in found.values() if isinstance(row, Row)}
        assert states and states <= {("approved", 1), ("approved", 2)}
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(scenario())


def test_of_two_decisions_about_a_waiting_order_one_is_kept(database: Any) -> None:
    async def scenario() -> None:
        one, two = await _two(database.dsn)
        chance = random.Random(13)
        for _ in range(20):
            orders = [an_order() for _ in range(40)]
            await one.commit(_shuffled(orders, WAITING, chance))
            answers = await asyncio.gather(
                one.commit(_shuffled(orders, APPROVED, chance)), two.commit(_shuffled(orders, REJECTED, chance))
            )
            assert answers[0] == answers[1]
            assert {row.version for row in answers[0].values() if isinstance(row, Row)} == {2}
        await asyncio.gather(one.close(), two.close())

    asyncio.run(scenario())


def test_an_answer_is_never_older_than_what_another_worker_is_about_to_commit(database: Any) -> None:
    """Else that worker's `approved` would be published first, and our `under_review` last."""
    decide = "UPDATE orders SET status = 'approved', score = 1, version = 2"

    async def scenario() -> None:
        one, two = await _two(database.dsn)
        proposal = a_proposal()
        await one.commit([proposal])
        async with aiopg.connect(database.dsn, enable_hstore=False) as connection, connection.cursor() as other:
            await other.execute("BEGIN; SELECT 1 FROM order_keys FOR UPDATE; " + decide)
            commit = asyncio.create_task(two.commit([proposal]))
            waiting = 0
            while not waiting and not commit.done():
                await other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                (waiting,) = await other.fetchone()
            await other.execute("COMMIT")
        row = (await commit)[proposal.order.order_id]
        assert isinstance(row, Row)
        assert (row.status, row.version) == ("approved", 2)
        await asyncio.gather(one.close(), two.close())

    asyncio.run(scenario())


def test_two_workers_need_the_same_new_month(database: Any) -> None:
    async def scenario() -> None:
        stores = await _two(database.dsn)
        for year in range(2001, 2009):
            created_at = an_order().created_at.replace(year=year)
            batches = [[a_proposal(an_order(created_at=created_at)) for _ in range(5)] for _ in range(4)]
            each_its_own = list(zip(stores * 2, batches, strict=True))

            async def are_committed(each_its_own: Any = each_its_own) -> bool:
                answers = await asyncio.gather(*(store.commit(batch) for store, batch in each_its_own))
                assert not any(isinstance(answer, Refused) for each in answers for answer in each.values())
                return all(isinstance(answer, Row) for each in answers for answer in each.values())

            await wait_for_async(are_committed, 30.0, "the month is made, once, and all of them are committed")
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(scenario())
