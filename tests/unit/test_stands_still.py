"""A worker whose PostgreSQL was taken back says so each time, and asks again for what was published when it goes on."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from creditstream.errors import StoreTakenBack
from creditstream.worker.taken_back import TakenBack


class Store:
    def __init__(self) -> None:
        self.taken_back, self.reports = "", 0

    async def ping(self) -> None:
        if self.taken_back:
            raise StoreTakenBack(self.taken_back)

    async def report(self, by: str) -> None:
        self.reports += 1


def test_it_says_so_each_time_also_when_a_commit_finds_out_first(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    asked: list[int] = []

    async def scenario() -> None:
        store = Store()
        stands = TakenBack(store, SimpleNamespace(unpublished=0), "me", lambda: asked.append(1))
        for problem in ("lost", "", "", "lost again", "lost again", ""):
            store.taken_back = problem
            await stands.run_once()
        assert store.reports == 3

    asyncio.run(scenario())
    assert [record.message for record in caplog.records] == [
        "no order is taken: lost",
        "PostgreSQL has what was published: orders are taken again",
        "no order is taken: lost again",
        "PostgreSQL has what was published: orders are taken again",
    ]
    assert asked == [1, 1]
