"""Faust's threads as tasks of the one loop: what they do is the same, and in an order that the seed decides."""

import asyncio
from typing import Any

from mode import threads


class TaskInPlaceOfThread:
    """In place of `mode.threads.WorkerThread`."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._service._serve())

    def stop(self) -> None:
        """The service waits for its own end."""


def without_threads() -> None:
    """For every service of this process that is made from now on."""
    thread: Any = threads.ServiceThread
    made = thread.__init__

    def on_the_loop(self: Any, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        made(self, **options | {"loop": loop, "thread_loop": loop})

    async def nothing_else_is_left(_self: Any) -> None:
        """In place of a sweep over all tasks of the thread's loop, which is everybody's here."""

    thread.__init__ = on_the_loop
    thread.Worker = TaskInPlaceOfThread
    thread._gather_remaining_tasks = nothing_else_is_left
