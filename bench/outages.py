"""`python -m bench.outages`: one worker under a steady load while the risk API has bad times, in figures.

What is counted is the risk API's own journal of calls, a table row for each of its bad times.
"""

import argparse
import asyncio
import shutil
import subprocess
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from creditstream.config.load import load_settings
from creditstream.operations.audit import audit
from devtools.programs import Worker, clean_environ, faust_command, http
from devtools.stack import Ports, Stack
from devtools.stack.ports import free_port
from devtools.stack.product import prepare_product
from devtools.wait import wait_for

_ROOT = Path(".local/outages")
_LATENCY_MS = 50
_CALM = 20.0
_HEAD = (
    "the risk API",
    "for",
    "from its recovery to full speed",
    "most calls per order in any 10 s: meanwhile",
    "afterwards",
)
#: Orders that failed wait for their turns, each longer than the last one.
_DECIDED_WITHIN = 600.0


class Bad(NamedTuple):
    """A bad time: `steps` of so many seconds, each with what the API is told at its start."""

    name: str
    steps: list[tuple[float, dict[str, object]]]


class Span(NamedTuple):
    """When a bad time began, when the API was well again, and when the next one began."""

    name: str
    began: float
    well: float
    over: float


_WELL: dict[str, object] = {"reset": True, "latency_ms": _LATENCY_MS}
_DOWN: dict[str, object] = {"mode": "reset"}
_UP: dict[str, object] = {"mode": "ok"}


def bad_times(seconds: float) -> list[Bad]:
    """Each about so long."""
    flaps = [(5.0, each) for _ in range(max(1, round(seconds / 10))) for each in (_DOWN, _UP)]
    return [
        Bad("brown-out: 10 x latency", [(seconds, {"latency_ms": 10 * _LATENCY_MS})]),
        Bad("flapping: 5 s down, 5 s up", flaps[:-1]),
        Bad("50 % errors", [(seconds, {"error_rate": 0.5})]),
        Bad("down", [(seconds, _DOWN)]),
        Bad("hangs", [(seconds, {"mode": "hang"})]),
    ]


class Journal:
    """The risk API's calls, by time."""

    def __init__(self, calls: dict[str, list[tuple[float, int, int | None]]]) -> None:
        every = sorted((when, key, status) for key, made in calls.items() for when, status, _ in made)
        self.times = [when for when, _, _ in every]
        self._keys = [key for _, key, _ in every]
        self._scored = [when for when, _, status in every if status == 200]

    def scored(self, since: float, until: float) -> int:
        return bisect_left(self._scored, until) - bisect_left(self._scored, since)

    def calls_per_order(self, since: float, until: float) -> float:
        keys = self._keys[bisect_left(self.times, since) : bisect_left(self.times, until)]
        return len(keys) / max(1, len(set(keys)))

    def recovery(self, well: float, rate: float) -> float | None:
        """Seconds until the first second in which the API scored nearly as many orders as come in."""
        for tenth in range(1_200):
            if self.scored(well + tenth / 10, well + tenth / 10 + 1) >= 0.9 * rate:
                return tenth / 10
        return None

    def most_calls_per_order(self, since: float, until: float) -> float:
        """In any ten seconds, by the half second."""
        starts = [since + step / 2 for step in range(max(1, int((until - since - 10) * 2) + 1))]
        return max(self.calls_per_order(start, start + 10) for start in starts)


def play(tell: Callable[[dict[str, object]], None], times: list[Bad]) -> Iterator[Span]:
    for bad in times:
        began = time.time()
        for seconds, control in bad.steps:
            tell(control)
            time.sleep(seconds)
        tell({"mode": "ok", "error_rate": 0.0, "latency_ms": _LATENCY_MS})
        well = time.time()
        time.sleep(_CALM)
        yield Span(bad.name, began, well, time.time())


def rows(journal: Journal, spans: list[Span], rate: float) -> Iterator[tuple[str, ...]]:
    for span in spans:
        recovery = journal.recovery(span.well, rate)
        took = "not within 120 s" if recovery is None else f"{recovery:.1f} s"
        storms = [journal.most_calls_per_order(*each) for each in ((span.began, span.well), (span.well, span.over))]
        yield span.name, f"{span.well - span.began:.0f} s", took, *(f"{storm:.2f}" for storm in storms)


class Memory(threading.Thread):
    """The most resident memory that the worker had, in MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.most, self.ended = psutil.Process(pid), 0.0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.most = max(self.most, self._process.memory_info().rss / 1e6)


def measure(stack: Stack, worker: Worker, times: list[Bad], rate: int) -> tuple[list[tuple[str, ...]], float, int]:
    """The table's rows, the worker's most memory, and how many orders were sent."""
    environ = stack.environment()
    count = round(rate * (_CALM + sum(_CALM + sum(seconds for seconds, _ in bad.steps) for bad in times)))
    memory = Memory(worker.pid)
    memory.start()
    command = faust_command("load", "--count", str(count), "--rate", str(rate), "--keyed")
    with subprocess.Popen(command, env=clean_environ(environ)) as load:
        _await(lambda: http(f"{environ['CREDITSTREAM_RISK_URL']}/journal")["calls"] > rate, "calls")
        time.sleep(_CALM)
        spans = list(play(lambda control: stack.set_risk(**control), times))
        load.wait()
    journal = Journal(http(f"{environ['CREDITSTREAM_RISK_URL']}/journal?full=1", timeout=120))
    asyncio.run(_until_decided(environ, count))
    memory.ended.set()
    return list(rows(journal, spans, rate)), memory.most, count


def _await(condition: Callable[[], bool], what: str) -> None:
    wait_for(condition, 120, what)


async def _until_decided(environ: dict[str, str], count: int) -> None:
    """Every order, those that wait on the retry topic too."""
    settings, until = load_settings(environ), time.monotonic() + _DECIDED_WITHIN
    while (report := await audit(settings)).approved + report.rejected < count or not report.clean:
        if time.monotonic() > until:
            raise SystemExit(f"creditstream: NOT CLEAN: {report}")
        await asyncio.sleep(5)


def _started(cleanup: ExitStack) -> tuple[Stack, Worker]:
    Stack(_ROOT, Ports.chosen(_ROOT / "stack" / "ports.json", {})).clean()  # what a killed run may have left
    shutil.rmtree(_ROOT, ignore_errors=True)
    stack = Stack(_ROOT, Ports.free(), cache=Path(".local/cache"))
    cleanup.callback(stack.clean)
    stack.up()
    prepare_product(stack.environment())
    stack.set_risk(**_WELL)
    folder = _ROOT.absolute()
    own: dict[str, Any] = {
        "CREDITSTREAM_DATA_DIR": str(folder / "data"),
        "CREDITSTREAM_WEB_PORT": str(free_port()),
    }
    worker = Worker({**stack.environment(), **own}, folder, "worker")
    cleanup.callback(worker.discard)
    worker.wait_until_ready()
    return stack, worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outages", description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="orders a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each bad time")
    parser.add_argument("--only", help="bad times whose name holds this")
    given = parser.parse_args()
    times = [bad for bad in bad_times(given.seconds) if not given.only or given.only in bad.name]
    with ExitStack() as cleanup:
        stack, worker = _started(cleanup)
        found, memory, count = measure(stack, worker, times, given.rate)
        worker.stop()
    for row in (_HEAD, ("---",) * len(_HEAD), *found):
        print(f"| {' | '.join(row)} |")
    print(f"\n{count:,} orders, all decided, the books are clean; the worker's most memory: {memory:.0f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
