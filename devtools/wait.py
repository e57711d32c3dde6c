"""Waiting: ask again until it is so or the deadline has passed; never a fixed sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
#: Seconds between two questions, and their share of the time waited so far: many wait side by side on two cores.
_LEAST, _MOST, _SHARE = 0.05, 0.25, 0.1


def wait_for(condition: Callable[[], T], deadline: float = 30.0, what: str = "the condition") -> T:
    """The first true answer of `condition`, within `deadline` seconds. Fails with `what` and the last answer."""
    start = time.monotonic()
    while not (answer := condition()):
        waited = time.monotonic() - start
        if waited >= deadline:
            raise AssertionError(f"not within {deadline:g} s: {what} (last answer: {answer!r})")
        time.sleep(_interval(waited))
    return answer


async def wait_for_async(
    condition: Callable[[], Awaitable[T]], deadline: float = 30.0, what: str = "the condition"
) -> T:
    """As wait_for, for a coroutine function and inside a running loop."""
    start = time.monotonic()
    while not (answer := await condition()):
        waited = time.monotonic() - start
        if waited >= deadline:
            raise AssertionError(f"not within {deadline:g} s: {what} (last answer: {answer!r})")
        await asyncio.sleep(_interval(waited))
    return answer


def _interval(waited: float) -> float:
    return min(_MOST, max(_LEAST, _SHARE * waited))
