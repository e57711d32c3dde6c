"""Waiting: ask again until it is so or the deadline has passed; never a fixed sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
_INTERVAL = 0.05


def wait_for(condition: Callable[[], T], deadline: float = 30.0, what: str = "the condition") -> T:
    """The first true answer of `condition`, within `deadline` seconds. Fails with `what` and the last answer."""
    end = time.monotonic() + deadline
    while not (answer := condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline:g} s: {what} (last answer: {answer!r})")
        time.sleep(_INTERVAL)
    return answer


async def wait_for_async(
    condition: Callable[[], Awaitable[T]], deadline: float = 30.0, what: str = "the condition"
) -> T:
    """As wait_for, for a coroutine function and inside a running loop."""
    end = time.monotonic() + deadline
    while not (answer := await condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline:g} s: {what} (last answer: {answer!r})")
        await asyncio.sleep(_INTERVAL)
    return answer
