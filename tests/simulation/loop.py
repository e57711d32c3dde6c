"""An event loop on which time passes only when nothing is left to do: at once, to the next timer."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from tests.simulation.clocks import WORKER, now

#: Virtual seconds. A world that has not come to its end by then does not get on.
_END = 900.0
#: Turns of the loop in one moment: more are a circle in which no time passes.
_TURNS_IN_A_MOMENT = 50_000
#: Seconds: as fine as clocks are.
_RESOLUTION = 1e-9


class NothingToDo(RuntimeError):
    """No callback and no timer is left, or none that lets time pass: the world stands still for ever."""


_numbers = itertools.count(1)


def _numbered(waited: Any) -> int:
    """A hash that tells not where it lies in memory: a set of them has the same order in every run."""
    try:
        number: int = waited.number
    except AttributeError:
        waited.number = number = next(_numbers)
    return number


class _Future(asyncio.Future[Any]):
    __hash__ = _numbered


class _Task(asyncio.Task[Any]):
    __hash__ = _numbered


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is due, in order. What belongs to a dead worker is dropped, to a frozen one kept until it thaws."""

    #: What answers at an address: makes a server's end for a client's protocol. Else a connection is refused.
    servers: dict[tuple[str, int], Callable[[Any], Any]]
    # Of asyncio's own loop, which its stubs do not show.
    _ready: Any
    _scheduled: Any
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.servers, self._turns = {}, 0
        self.set_task_factory(lambda loop, coroutine, **options: _Task(coroutine, loop=loop, **options))

    def create_future(self) -> "asyncio.Future[Any]":
        return _Future(loop=self)

    def time(self) -> float:
        return now.seconds

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **_options: Any) -> Any:  # type: ignore[override]
        """Raises ConnectionRefusedError where nobody listens."""
        await asyncio.sleep(0.001)
        if (host, port) not in self.servers:
            raise ConnectionRefusedError("connection refused")
        protocol = factory()
        return self.servers[host, port](protocol), protocol

    def run_again(self, handles: list[Any]) -> None:
        """What was due while its worker was frozen."""
        self._ready.extend(handles)

    def _write_to_self(self) -> None:
        """There is one thread: nobody has to be woken."""

    def run_in_executor(self, _executor: Any, func: Any, *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]  # plainer
        """At once: a thread's work takes no virtual time."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller has it
            done.set_exception(error)
        return done

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if not ready and not self._stopping:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise NothingToDo
            # whoever waits for less than a clock can show would else wait for ever, with no time passing
            now.seconds = max(now.seconds + _RESOLUTION, scheduled[0]._when)
            self._turns = 0
            if now.seconds > _END:
                raise NothingToDo("it does not end")
        self._turns += 1
        if self._turns > _TURNS_IN_A_MOMENT:
            raise NothingToDo("no time passes")
        end = now.seconds + _RESOLUTION
        while scheduled and scheduled[0]._when < end:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            worker = handle._context.get(WORKER)
            if worker is None or worker.runs(handle):
                handle._run()
