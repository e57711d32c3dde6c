"""An order of a month that has no partition yet waits for it alone, whoever holds a lock that it needs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any, cast

import psycopg2
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.order.ports import NotYet, Proposal, Refused
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from devtools.wait import wait_for_async
from schemas.status import Row
from tests.support.database import Database
from tests.unit.pipeline_rig import Rig, order_json

_USUAL = f"{an_order().created_at:%Y-%m-%dT%H:%M:%SZ}"
_USUAL_TABLE = f"orders_{an_order().created_at:%Y_%m}"
_OLD = datetime(2025, 2, 10, 12, tzinfo=UTC)
#: As of an ANALYZE by hand that is left open.
_LOCK = "LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE"
_THERE = "SELECT order_id::text FROM orders"


@asynccontextmanager
async def _stores(database: Database, count: int = 2, pool: int = 2) -> AsyncIterator[list[PostgresStore]]:
    """Stores of a database that has the month of the usual orders."""
    settings = Settings(postgres_dsn=Secret(database.dsn), postgres_pool=pool)
    stores = [await PostgresStore.open(settings) for _ in range(count)]
    await stores[0].commit([a_proposal()])
    try:
        yield stores
    finally:
        await asyncio.gather(*(store.close() for store in stores))


def _is_there(database: Database, proposals: Sequence[Proposal]) -> bool:
    return {str(each.order.order_id) for each in proposals} <= {order_id for (order_id,) in database.fetch(_THERE)}


def _old() -> Proposal:
    return a_proposal(an_order(created_at=_OLD))


async def _until_committed(store: PostgresStore, proposals: Sequence[Proposal]) -> None:
    async def are_committed() -> bool:
        return all(isinstance(each, Row) for each in (await store.commit(proposals)).values())

    await wait_for_async(are_committed, 30.0, "all of them are committed")


def test_the_others_are_committed_while_it_waits_and_it_is_when_the_lock_goes(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database) as stores:
            batches = [[*(a_proposal() for _ in range(5)), _old()] for _ in stores]
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                for _ in range(3):  # whoever proposes it again, too
                    answers = await asyncio.gather(
                        *(store.commit(batch) for store, batch in zip(stores, batches, strict=True))
                    )
                for batch, answer in zip(batches, answers, strict=True):
                    *others, old = batch
                    assert all(isinstance(answer[each.order.order_id], Row) for each in others)
                    assert not isinstance(answer[old.order.order_id], Row)
                    assert _is_there(database, others) and not _is_there(database, [old])
            for store, batch in zip(stores, batches, strict=True):
                await _until_committed(store, batch)

    asyncio.run(scenario())


def test_with_one_connection_the_others_go_on_too(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1, pool=1) as (store,):
            old = _old()
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                await store.commit([old])
                others = [a_proposal() for _ in range(20)]
                answers = [await store.commit([each, old]) for each in others]
                assert [type(answer[each.order.order_id]) for answer, each in zip(answers, others, strict=True)] == [
                    Row
                ] * len(others)
            await _until_committed(store, [old])

    asyncio.run(scenario())


def test_of_many_months_that_wait_none_is_forgotten(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database) as stores:
            old = [a_proposal(an_order(created_at=_OLD.replace(month=month))) for month in range(1, 13)]
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                for store in stores:
                    assert not any(isinstance(each, Row) for each in (await store.commit(old)).values())
            for store in stores:
                await _until_committed(store, old)

    asyncio.run(scenario())


def test_a_repeat_of_an_order_whose_month_is_gone_does_not_wait_with_the_new_ones(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1) as (store,):
            gone = _old()
            await store.commit([gone])
            database.fetch("DROP TABLE orders_2025_02")
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                new = _old()
                answers = await store.commit([gone, new])
                assert answers[gone.order.order_id] == Refused(
                    "row_removed", "the order was committed before and its row has been removed"
                )
                assert answers[new.order.order_id] == NotYet()
            await _until_committed(store, [new])

    asyncio.run(scenario())


def test_whatever_hinders_it_the_others_go_on(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1) as (store,):
            database.fetch("ALTER FUNCTION ensure_orders_partition RENAME TO away")
            old, other = _old(), a_proposal()
            answers = await store.commit([old, other])
            assert answers[old.order.order_id] == NotYet()
            assert isinstance(answers[other.order.order_id], Row)
            database.fetch("ALTER FUNCTION away RENAME TO ensure_orders_partition")
            await _until_committed(store, [old, other])

    asyncio.run(scenario())


def test_closing_the_store_ends_it(database: Database) -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()
        with closing(psycopg2.connect(database.dsn)) as holder:
            async with _stores(database, count=1) as (store,):
                holder.cursor().execute(_LOCK)
                assert set((await store.commit([_old()])).values()) == {NotYet()}
                assert asyncio.all_tasks() > before

            async def has_ended() -> bool:
                return asyncio.all_tasks() == before

            await wait_for_async(has_ended, 10.0, "nothing of it goes on")
            with pytest.raises(StoreUnavailable):
                await store.commit([_old()])
            assert asyncio.all_tasks() == before

    asyncio.run(scenario())


def test_a_pipeline_goes_on_while_one_order_waits_for_its_month(database: Database) -> None:
    """Two workers, with their loops: the others are published and done, and it is when the lock is gone."""

    async def scenario() -> None:
        async with _stores(database) as stores:
            rigs = [Rig(store=cast(Any, store)) for store in stores]
            loops = [asyncio.create_task(each) for rig in rigs for each in rig.pipeline.tasks()]
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                for rig in rigs:
                    rig.pipeline.accept(rig.record(order_json(created_at="2025-02-10T12:00:00Z"), offset=99))
                    for offset in range(20):
                        rig.pipeline.accept(rig.record(order_json(created_at=_USUAL), offset=offset))
                    await _until_done(rig, 20)
                    assert 99 not in [offset for _, _, offset in rig.acknowledged]
            for rig in rigs:
                await _until_done(rig, 21)
                assert rig.publisher.reasons() == []
                assert len(rig.publisher.values("order-status")) == len(rig.risk.calls) == 21
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    asyncio.run(scenario())


async def _until_done(rig: Rig, count: int) -> None:
    async def are_done() -> bool:
        return len(rig.acknowledged) == count

    await wait_for_async(are_done, 30.0, f"{count} orders are done")


def test_it_waits_for_nobody_who_has_a_lock_on_another_month(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1) as (store,):
            with closing(psycopg2.connect(database.dsn)) as holder:  # as a VACUUM does
                holder.cursor().execute(f"LOCK TABLE {_USUAL_TABLE} IN SHARE UPDATE EXCLUSIVE MODE")
                old = _old()
                answers = await store.commit([old])
                assert isinstance(answers[old.order.order_id], Row)

    asyncio.run(scenario())


class _Asked(list[str]):
    """The names of the statements that a store asks from now on."""

    def __init__(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        value = store._database.value

        async def noted(name: str, *given: Any, **options: Any) -> Any:
            self.append(name)
            return await value(name, *given, **options)

        monkeypatch.setattr(store._database, "value", noted)


def _of_months(count: int) -> list[Proposal]:
    return [
        a_proposal(an_order(created_at=datetime(2000 + at // 12, at % 12 + 1, 9, tzinfo=UTC))) for at in range(count)
    ]


def test_orders_that_wait_write_nothing_and_many_months_are_tried_no_more_often_than_one(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1, pool=1) as (store,):
            old = _of_months(60)
            with closing(psycopg2.connect(database.dsn)) as holder:
                holder.cursor().execute(_LOCK)
                await store.commit(old)
                await wait_for_async(_is_said(caplog), 20.0, "the first try has failed")
                asked = _Asked(store, monkeypatch)
                usual = a_proposal()
                answers = dict(await store.commit([*old, usual]))
                assert isinstance(answers.pop(usual.order.order_id), Row) and set(answers.values()) == {NotYet()}
                assert asked.count("claim_orders") == 1 and asked.count("make_month") <= 1
                assert [line for line in caplog.messages if "and 59 others cannot be made yet" in line]
            await _until_committed(store, old)

    asyncio.run(scenario())


def _is_said(caplog: pytest.LogCaptureFixture) -> Any:
    async def is_said() -> bool:
        return "cannot be made yet" in caplog.text

    return is_said


def test_a_month_that_the_role_may_not_make_costs_no_connection(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"worker_{database.name}"
    database.fetch(f"CREATE ROLE {role} LOGIN")
    database.fetch(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")

    async def scenario() -> None:
        dsn = Secret(psycopg2.extensions.make_dsn(database.dsn, user=role))
        async with _stores(database, count=1) as (other,):
            store = await PostgresStore.open(Settings(postgres_dsn=dsn, postgres_pool=1))
            backend = await store._database.value("backend")
            old, usual = _old(), a_proposal()
            answers = await store.commit([old, usual])
            assert answers[old.order.order_id] == NotYet() and isinstance(answers[usual.order.order_id], Row)
            await wait_for_async(_is_said(caplog), 20.0, "the try has failed")
            assert await store._database.value("backend") == backend
            await _until_committed(other, [old])
            await _until_committed(store, [old])
            await store.close()

    try:
        asyncio.run(scenario())
    finally:
        database.fetch(f"DROP OWNED BY {role}")
        database.fetch(f"DROP ROLE {role}")


def test_an_order_beside_somebodys_own_partition_of_its_month_has_a_letter(database: Database) -> None:
    async def scenario() -> None:
        async with _stores(database, count=1) as (store,):
            database.fetch("CREATE TABLE mine PARTITION OF orders FOR VALUES FROM ('2025-02-15Z') TO ('2025-03-15Z')")
            old, usual = _old(), a_proposal()
            answers = await store.commit([old, usual])
            refused = answers[old.order.order_id]
            assert isinstance(refused, Refused) and refused.reason == "constraint_violation"
            assert isinstance(answers[usual.order.order_id], Row)

    asyncio.run(scenario())
