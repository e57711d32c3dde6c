"""What the pages are told while the replica is silent, or slow, or away: nobody waits twice, one look at a time."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from creditstream.errors import StoreUnavailable
from creditstream.order.ports import Search
from creditstream.web.answers import source
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.dashboard import Dashboard
from creditstream.web.answers.queries import Query
from devtools.wait import wait_for_async
from schemas.status import Row
from tests.unit.test_audit import row


class Replica:
    """Answers when `speaks` is set; searches when `is_quick` is."""

    def __init__(self) -> None:
        self.speaks, self.is_quick = asyncio.Event(), asyncio.Event()
        self.speaks.set()
        self.is_quick.set()
        self.asked, self.waiting, self.most_waiting, self.dropped = 0, 0, 0, 0
        self.row: Row | None = None
        self.behind = 0.0

    async def _answer(self, *events: asyncio.Event) -> None:
        self.asked += 1
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            for event in (self.speaks, *events):
                await event.wait()
        finally:
            self.waiting -= 1

    async def counts_today(self) -> Any:
        await self._answer()
        return {"approved": 1}

    async def lag(self) -> float | None:
        await self._answer()
        return self.behind

    async def search(self, search: Search, limit: int) -> list[Any]:
        await self._answer(self.is_quick)
        return []

    async def order(self, order_id: UUID) -> Any:
        await self._answer()
        return self.row

    def drop(self) -> None:
        self.dropped += 1

    async def close(self) -> None: ...


def _query(number: int) -> Query:
    return Query(Search(customer=f"c-{number}"), 10)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_PATIENCE", 0.05)
    monkeypatch.setattr(source, "_REST", 0.05)


def _opened(replica: Replica, primary: Replica | None = None) -> Dashboard:
    async def open_reads() -> Replica:
        return replica

    async def open_primary() -> Replica:
        assert primary is not None
        return primary

    return Dashboard(Cache(None), open_reads, open_primary if primary else None)


def _row(version: int) -> Row:
    return msgspec.structs.replace(row(), version=version)


async def _is_back(dashboard: Dashboard) -> bool:
    return await dashboard.today() is not None


def test_of_a_silent_replica_one_look_at_a_time_finds_out_when_it_is_back() -> None:
    async def scenario() -> None:
        replica = Replica()
        dashboard = _opened(replica)
        assert await _is_back(dashboard)
        replica.speaks.clear()
        asking = [dashboard.orders(_query(number)) for number in range(50)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(each) for each in answers} == {StoreUnavailable}
        assert replica.dropped, "connections to it are not used again"
        replica.most_waiting = 0
        for number in range(50, 550):
            with pytest.raises(StoreUnavailable, match="a moment ago"):
                await dashboard.orders(_query(number))
        assert replica.most_waiting <= 1, "nobody waits for it but the look"
        replica.speaks.set()
        await wait_for_async(lambda: _is_back(dashboard), what="it is found again")
        await dashboard.close()

    asyncio.run(scenario())


def test_a_question_that_is_too_slow_takes_the_page_nothing_but_its_own_answer() -> None:
    async def scenario() -> None:
        replica = Replica()
        dashboard = _opened(replica)
        replica.is_quick.clear()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await dashboard.orders(_query(1))
        await wait_for_async(lambda: _is_back(dashboard), what="the look found that it lives")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await dashboard.orders(_query(2))
        await dashboard.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("replicas", "behind", "primarys", "shown", "asked"),
    [
        (1, 0.0, 2, 1, {}),
        (1, 5.0, 2, 2, {"found": 1}),
        (1, 5.0, None, None, {"none": 1}),
        (None, 0.0, 2, 2, {"found": 1}),
        (None, 0.0, None, None, {"none": 1}),
    ],
    ids=["it has it", "it is behind", "dropped since", "not there yet", "nowhere"],
)
def test_the_primary_is_asked_for_what_the_replica_may_not_have(
    replicas: int | None, behind: float, primarys: int | None, shown: int | None, asked: dict[str, int]
) -> None:
    async def scenario() -> None:
        replica, primary = Replica(), Replica()
        replica.row, replica.behind = _row(replicas) if replicas else None, behind
        primary.row = _row(primarys) if primarys else None
        dashboard = _opened(replica, primary)
        found = await dashboard.order(UUID(int=1))
        assert (found.order.version if found else None) == shown
        assert dashboard.primary_lookups == asked
        await dashboard.close()

    asyncio.run(scenario())


def test_what_a_replica_said_before_it_caught_up_is_not_shown() -> None:
    async def scenario() -> None:
        class CatchesUp(Replica):
            async def order(self, order_id: UUID) -> Any:
                found = await super().order(order_id)
                self.behind = 0.0
                return found

        replica, primary = CatchesUp(), Replica()
        replica.row, replica.behind, primary.row = _row(1), 5.0, _row(2)
        found = await _opened(replica, primary).order(UUID(int=1))
        assert found and found.order.version == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("has_it", [True, False])
def test_while_the_primary_is_silent_the_replica_says_what_it_has_and_nobody_says_that_there_is_none(
    has_it: bool,
) -> None:
    async def scenario() -> None:
        replica, primary = Replica(), Replica()
        replica.row, replica.behind = _row(1) if has_it else None, 5.0
        primary.speaks.clear()
        dashboard = _opened(replica, primary)
        if has_it:
            assert await dashboard.order(UUID(int=1))
        else:
            with pytest.raises(StoreUnavailable, match="primary"):
                await dashboard.order(UUID(int=1))
        assert dashboard.primary_lookups == {"error": 1}
        await dashboard.close()

    asyncio.run(scenario())


def test_while_the_replica_is_away_the_primary_has_the_order() -> None:
    async def scenario() -> None:
        replica, primary = Replica(), Replica()
        replica.speaks.clear()
        primary.row = _row(3)
        found = await _opened(replica, primary).order(UUID(int=1))
        assert found and found.order.version == 3

    asyncio.run(scenario())


def test_the_primary_is_asked_little_at_a_time_and_is_not_taken_for_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_PATIENCE", 30.0)

    async def scenario() -> None:
        replica, primary = Replica(), Replica()
        primary.speaks.clear()
        dashboard = _opened(replica, primary)
        asking = [asyncio.ensure_future(dashboard.order(UUID(int=number))) for number in range(50)]
        await wait_for_async(lambda: _is_busy(dashboard), what="the rest is told so")
        primary.speaks.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert primary.most_waiting == 8 and answers.count(None) == 8
        assert dashboard.primary_lookups == {"busy": 42, "none": 8}
        assert await dashboard.order(UUID(int=99)) is None
        await dashboard.close()

    asyncio.run(scenario())


async def _is_busy(dashboard: Dashboard) -> bool:
    return dashboard.primary_lookups["busy"] == 42
