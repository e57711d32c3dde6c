"""Helper processes of an audit: what they give back, what they raise, and that one may be ended."""

import asyncio
import os
import signal
from typing import Any, NamedTuple, cast

import pytest

from creditstream.errors import StartError, StoreUnavailable
from creditstream.operations.audit.helpers import results_of
from creditstream.operations.audit.readers import Advance


class Twice(NamedTuple):
    """Stands for a task: it can be sent to a process."""

    number: int

    async def run(self, advance: Advance) -> int:
        print("a library's word, which is no answer")
        advance(1)
        if self.number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.number == 0:
            raise StoreUnavailable("the replica is away")
        return 2 * self.number


def results(*numbers: int, helped: bool = True) -> tuple[list[int], int]:
    advanced: list[int] = []

    async def run() -> list[int]:
        tasks = cast(Any, [Twice(number) for number in numbers])
        return [result async for result in results_of(tasks, advanced.append, helped=helped)]

    return asyncio.run(run()), sum(advanced)


def test_each_task_is_done_once_here_or_by_two_processes() -> None:
    assert results(1, 2, 3, helped=False) == ([2, 4, 6], 3)
    found, advanced = results(1, 2, 3)
    assert (sorted(found), advanced) == ([2, 4, 6], 3)


def test_what_a_task_raises_is_raised_and_a_process_that_is_gone_is_one_line() -> None:
    with pytest.raises(StoreUnavailable, match="the replica is away"):
        results(1, 0)
    with pytest.raises(StartError, match="a helper process of the audit was ended"):
        results(-1)
