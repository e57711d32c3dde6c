"""Who waits for how long, who gives a place to whom, and how many places there are."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import StoreUnavailable
from creditstream.web.access.descriptors import MOST, page_places, places
from creditstream.web.access.waiting import LIMITS, Wait, Waiting
from creditstream.web.health import Readiness
from devtools.wait import wait_for_async


def test_a_head_byte_by_byte_has_the_time_of_one_head() -> None:
    waiting: Waiting[str] = Waiting()
    for second in range(10):
        waiting.note("drips", Wait.HEAD, second)
        assert waiting.overdue(second) == []
    assert waiting.overdue(LIMITS[Wait.HEAD]) == ["drips"]


def test_each_request_begins_anew_and_work_of_ours_is_not_waited_for() -> None:
    waiting: Waiting[str] = Waiting()
    waiting.note("a", Wait.IDLE, 0)
    waiting.note("a", None, 70)
    assert waiting.overdue(1e9) == []
    waiting.note("a", Wait.IDLE, 1_000)
    assert waiting.overdue(1_000 + LIMITS[Wait.IDLE] - 1) == []
    waiting.forget("a")
    waiting.forget("a")
    assert waiting.overdue(1e9) == []


def test_half_a_head_gives_its_place_first_unless_it_came_just_now() -> None:
    waiting: Waiting[str] = Waiting()
    assert waiting.dispensable(0) is None
    waiting.note("served", None, 0)
    assert waiting.dispensable(0) is None
    for name, wait in (("reads", Wait.READER), ("body", Wait.BODY), ("idle", Wait.IDLE), ("head", Wait.HEAD)):
        waiting.note(name, wait, 5)
    order = []
    for now in (5, 10, 10, 10):
        order.append(waiting.dispensable(now))
        waiting.forget(str(order[-1]))
    assert order == ["idle", "head", "body", "reads"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, *Wait]), st.floats(0, 20)), max_size=60),
    st.floats(0, 100),
)
def test_overdue_are_those_and_only_those_that_waited_too_long(
    steps: list[tuple[int, Wait | None, float]], more: float
) -> None:
    waiting: Waiting[int] = Waiting()
    model: dict[int, tuple[Wait | None, float]] = {}
    now = 0.0
    for connection, wait, passes in steps:
        now += passes
        waiting.note(connection, wait, now)
        if model.get(connection, (None, 0))[0] is not wait:
            model[connection] = (wait, now)
    now += more
    late = {each for each, (wait, since) in model.items() if wait is not None and now - since >= LIMITS[wait]}
    assert set(waiting.overdue(now)) == late


@pytest.mark.parametrize(
    ("limit", "pools", "others", "expected"),
    [
        (65_536, 260, 90, MOST),
        (1_024, 260, 90, 508),
        (1_024, 260, 350, 482),  # its own connections are open: they are not counted twice
        (1_024, 260, 900, 16),
        (1_024, 10_000, 90, 16),
        (64, 260, 0, 16),
    ],
)
def test_the_workers_own_descriptors_are_kept_free(limit: int, pools: int, others: int, expected: int) -> None:
    assert places(limit, pools, others) == expected
    assert page_places(expected) < expected


def test_a_thousand_pages_have_their_place_where_the_system_allows_it() -> None:
    assert page_places(places(65_536, 260, 90)) >= 1_000


def test_fifty_who_ask_at_once_whether_it_is_ready_are_one_question_to_the_servers() -> None:
    asked, now, may_answer = [], [0.0], asyncio.Event()

    async def ping() -> None:
        asked.append(now[0])
        await may_answer.wait()

    async def refuses() -> None:
        raise StoreUnavailable("away")

    runtime = SimpleNamespace(store=SimpleNamespace(ping=refuses), publisher=SimpleNamespace(ping=ping))
    consumer = SimpleNamespace(progress={})
    pipeline = SimpleNamespace(problems=lambda: ["too many letters"])
    app = SimpleNamespace(rebalancing=False, runtime=runtime, group=consumer, pipeline=pipeline)

    async def scene() -> None:
        readiness = Readiness(cast(Any, app), lambda: now[0])
        many = [asyncio.create_task(readiness.problems()) for _ in range(50)]
        await wait_for_async(lambda: asyncio.sleep(0, asked), what="somebody asks")
        many[0].cancel()  # the first of them loses patience, which is nothing to the others
        may_answer.set()
        answers = await asyncio.gather(*many[1:])
        assert all(answer[1:] == ["PostgreSQL does not answer", "too many letters"] for answer in answers)
        consumer.progress[0] = "assigned"
        for now[0] in (0.5, 0.99):
            assert (await readiness.problems())[0] == "PostgreSQL does not answer", (
                "what is known here is known at once"
            )
        assert len(asked) == 1
        now[0] = 1.5
        await readiness.problems()
        assert len(asked) == 2
        await readiness.close()

    asyncio.run(asyncio.wait_for(scene(), 10))
