"""The end of each of a worker's loops is seen: by its error, by a cancellation that nobody wanted, by a return."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from creditstream.worker.loops import LoopEnded, Loops


async def lives() -> None:
    await asyncio.Event().wait()


async def strays() -> None:
    """As a library does that cancels its caller."""
    raise asyncio.CancelledError


async def fails() -> None:
    raise ValueError("the finish loop died")


async def returns() -> None:
    return


async def fails_at_its_end() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("not closed")


def watched(*loops: Coroutine[Any, Any, None], stopping: bool = False) -> None:
    async def play() -> None:
        running = Loops(loops, lambda: stopping)
        try:
            async with asyncio.timeout(10):
                await running.watch()
        finally:
            await running.stop()

    asyncio.run(play())


def test_a_loop_that_was_cancelled_although_nobody_stops_the_worker_is_a_death() -> None:
    with pytest.raises(LoopEnded, match=r"strays.*cancelled"):
        watched(lives(), strays())


def test_a_loop_that_returns_is_a_death() -> None:
    with pytest.raises(LoopEnded, match=r"returns.*returned"):
        watched(lives(), returns())


@pytest.mark.parametrize("first", [strays, returns])
def test_an_error_that_comes_with_another_end_ends_the_worker_and_both_are_told(
    first: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="finish loop died"):
        watched(lives(), first(), fails())
    assert first.__name__ in caplog.text


def test_the_error_that_ends_the_worker_is_not_told_a_second_time(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="finish loop died"):
        watched(lives(), fails())
    assert not caplog.records


def test_what_dies_after_the_first_is_told_when_the_worker_stops(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LoopEnded):
        watched(strays(), fails_at_its_end())
    [told] = [record for record in caplog.records if record.exc_info]
    assert "fails_at_its_end" in told.getMessage() and "not closed" in caplog.text


def test_an_end_in_a_worker_that_stops_is_no_death(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    watched(lives(), returns(), stopping=True)
    watched(lives(), strays(), stopping=True)
    assert not caplog.records
