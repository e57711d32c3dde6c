"""The loops of a worker, which run for as long as it does: each end of each is seen, and all are ended with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

log = logging.getLogger(__name__)
#: Seconds until a loop that is still there is cancelled again, and how often: `asyncio.wait_for` can lose a
#: cancellation, and aiopg with it. Ten times are less than a supervisor waits (`creditstream.worker.ending`).
_CANCEL_AGAIN = 1.0
_CANCEL_TIMES = 10


class LoopEnded(Exception):
    """A loop returned, or was cancelled, although nobody stops the worker. It has no error of its own to show."""


class Loops:
    """Started when made, by the runtime; a coroutine for each."""

    def __init__(self, loops: Iterable[Awaitable[None]], stopping: Callable[[], bool]) -> None:
        """`stopping`: whether the worker is told to end; from then on a loop may."""
        self._tasks = {asyncio.ensure_future(loop) for loop in loops}
        self._stopping = stopping
        self._told: set[asyncio.Future[None]] = set()

    async def watch(self) -> None:
        """For the runtime, which ends the worker by what this raises. Returns only when the worker stops.

        Raises the error of the first loop that ends by one, LoopEnded for one that ends without.
        """
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping():
            return
        deaths = [_death(task) for task in ended]
        self._told |= ended
        cause = next((death for death in deaths if not isinstance(death, LoopEnded)), deaths[0])
        for death in deaths:
            if death is not cause:
                log.error("%s", death, exc_info=death)
        raise cause

    async def stop(self) -> None:
        """End them all. One cancellation may not be enough. An error with which one ends now is told."""
        pending = set(self._tasks)
        for _ in range(_CANCEL_TIMES):
            for task in pending:
                task.cancel()
            if pending:
                _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN)
        if pending:
            log.error("%d loops do not end, left behind: %s", len(pending), pending)
        for task in self._tasks - pending - self._told:
            if not task.cancelled() and (error := task.exception()):
                log.error("a loop ended by an error beside the first: %s", _name(task), exc_info=error)


def _death(task: "asyncio.Future[None]") -> BaseException:
    if task.cancelled():
        return LoopEnded(f"the loop {_name(task)} was cancelled although nobody stops the worker")
    return task.exception() or LoopEnded(f"the loop {_name(task)} returned although nobody stops the worker")


def _name(task: "asyncio.Future[None]") -> str:
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    return getattr(coroutine, "__qualname__", repr(task))
