"""Helper processes: an audit of millions of orders is done by two cores."""

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

from creditstream.errors import StartError
from creditstream.operations.audit.helper import HEAD
from creditstream.operations.audit.readers import Advance
from creditstream.operations.audit.tasks import Task

_PROCESSES = 2
_PROGRAM = "from creditstream.operations.audit.helper import main; main()"


async def results_of(tasks: Sequence[Task], advance: Advance, *, helped: bool) -> AsyncIterator[Any]:
    """Each task's result as it comes, in no order. `helped`: by processes of their own, else here, one by one.

    Raises what a task raises.
    """
    if not helped:
        for task in tasks:
            yield await task.run(advance)
        return
    waiting, results, processes = deque(tasks), asyncio.Queue[object](), list[Process]()
    running = [asyncio.ensure_future(_help(waiting, results, processes, advance)) for _ in range(_PROCESSES)]
    try:
        for _ in tasks:
            result = await results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        waiting.clear()
        for process in processes:
            _end(process)
        await asyncio.gather(*running)  # not cancelled: a process' streams would outlive the loop


async def _help(
    waiting: deque[Task], results: asyncio.Queue[object], processes: list[Process], advance: Advance
) -> None:
    """One process, until no task waits."""
    try:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, stdin=PIPE, stdout=PIPE)
        processes.append(process)
        try:
            while waiting:
                await results.put(await _result(process, waiting.popleft(), advance))
        finally:
            _end(process)
            await process.communicate()
    except Exception as error:  # noqa: BLE001 - who waits for the results raises it
        await results.put(error)


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):  # it has ended already
        process.kill()


async def _result(process: Process, task: Task, advance: Advance) -> Any:
    given, answers = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    text = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    try:
        given.write(HEAD.pack(len(text)) + text)
        await given.drain()
        while True:
            (size,) = HEAD.unpack(await answers.readexactly(HEAD.size))
            what, value = pickle.loads(await answers.readexactly(size))  # noqa: S301 - our own child's
            if what == "advance":
                advance(value)
            else:
                return value
    except (asyncio.IncompleteReadError, ConnectionError):
        raise StartError("a helper process of the audit was ended: by the system, for its memory?") from None
