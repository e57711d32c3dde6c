"""What the pages are told while the replica is silent, or slow, or away: nobody waits twice, one look at a time."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from creditstream.errors import StoreUnavailable
from creditstream.order.ports import Search
from creditstream.web.answers import dashboard as dashboard_module
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.dashboard import Dashboard
from creditstream.web.answers.queries import Query
from devtools.wait import wait_for_async


class Replica:
    """Answers when `speaks` is set; searches when `is_quick` is."""

    def __init__(self) -> None:
        self.speaks, self.is_quick = asyncio.Event(), asyncio.Event()
        self.speaks.set()
        self.is_quick.set()
        self.asked, self.waiting, self.most_waiting, self.dropped = 0, 0, 0, 0

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
        return 0.0

    async def search(self, search: Search, limit: int) -> list[Any]:
        await self._answer(self.is_quick)
        return []

    async def order(self, order_id: UUID) -> Any:
        await self._answer()

    def drop(self) -> None:
        self.dropped += 1

    async def close(self) -> None: ...


def _query(number: int) -> Query:
    return Query(Search(customer=f"c-{number}"), 10)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "_PATIENCE", 0.05)
    monkeypatch.setattr(dashboard_module, "_REST", 0.05)


def _opened(replica: Replica) -> Dashboard:
    async def open_reads() -> Replica:
        return replica

    return Dashboard(Cache(None), open_reads)


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
