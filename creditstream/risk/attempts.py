"""When a call for one order may be made, and made again: retries by stamina and by nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

import stamina

from creditstream.risk.messages import MayPass


class Guard(Protocol):
    """Says when a call may start, and hears how it ended (`creditstream.risk.guarded.Gate`)."""

    async def enter(self, *, again: bool = False) -> int:
        """Waits as long as it takes; the ticket is for `leave`."""
        ...

    def leave(self, ticket: int, outcome: str, seconds: float, retry_after: float = 0.0) -> None: ...

    def may_repeat(self, ticket: int) -> bool: ...


class Unguarded(Guard):
    """Every call at once."""

    async def enter(self, *, again: bool = False) -> int:
        return 0

    def leave(self, ticket: int, outcome: str, seconds: float, retry_after: float = 0.0) -> None: ...

    def may_repeat(self, ticket: int) -> bool:
        return True


class Backoff(NamedTuple):
    """Seconds between attempts: `initial` doubled each time, plus up to `jitter`, at most `maximum`."""

    initial: float = 0.1
    #: As wide as several first waits: the workers' calls that failed together must not come back together.
    jitter: float = 0.5
    maximum: float = 3.0


class Course:
    """Where one order stands: when its time is up, its last ticket, and how many calls were made."""

    __slots__ = ("deadline", "made", "ticket")

    def __init__(self, deadline: float, ticket: int) -> None:
        self.deadline, self.ticket, self.made = deadline, ticket, 1


def attempts_of(course: Course, backoff: Backoff, guard: Guard) -> AsyncIterator[stamina.Attempt]:
    """Every attempt for one order, each after its wait, until its time is up or the guard allows no more repeats."""
    clock = asyncio.get_running_loop().time

    def again(error: Exception) -> bool | float:
        if not isinstance(error, MayPass) or clock() + error.retry_after >= course.deadline:
            return False
        if not guard.may_repeat(course.ticket):
            return False
        if not error.retry_after:
            return True
        # Those that were told the same moment must not all come at it.
        return error.retry_after + random.uniform(0, backoff.jitter)  # noqa: S311 - no secret

    return aiter(
        stamina.retry_context(
            again,
            attempts=None,
            timeout=None,
            wait_initial=backoff.initial,
            wait_jitter=backoff.jitter,
            wait_max=backoff.maximum,
        )
    )
