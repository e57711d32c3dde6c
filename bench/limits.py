"""`python -m bench.limits`: the adaptive limit and a fixed one before an API with a capacity, as a table."""

import argparse
import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import uvloop

from creditstream.config.settings import Settings
from creditstream.errors import RiskUnavailable
from creditstream.risk.guarded import GuardedRisk
from devtools.fakes import an_order
from devtools.programs import RiskApiProcess, http
from devtools.stack.ports import free_port

#: Seconds of one call in a slot of the API.
_SERVICE = 0.05
#: So many always have an order that waits for a call.
_CALLERS = 1_000
_HEAD = ("limit", "phase", "calls/s", "of capacity", "p50 ms", "p99 ms", "of unloaded p99")


class Call(NamedTuple):
    """`at`: when its answer came; `seconds`: from its start, so without what it waited for its turn."""

    at: float
    seconds: float


class Figures(NamedTuple):
    """Of the calls that were answered within a span of time."""

    rate: float
    p50: float
    p99: float


async def calls_of(url: str, limit: tuple[int, int], callers: int, phases: list[tuple[float, int]]) -> list[list[Call]]:
    """Each phase's calls: so many seconds with so many slots, one after the other. `limit`: floor and ceiling."""
    floor, ceiling = limit
    settings = Settings(risk_url=url, risk_concurrency=ceiling, risk_concurrency_floor=floor, risk_attempt_timeout=10.0)
    answered: list[Call] = []
    risk = await GuardedRisk.open(settings, on_call=lambda _, seconds: answered.append(Call(time.monotonic(), seconds)))
    found: list[list[Call]] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        for seconds, slots in phases:
            await _set_capacity(url, slots)
            tasks = tasks or [asyncio.create_task(_ask_for_ever(risk)) for _ in range(callers)]
            answered.clear()
            await asyncio.sleep(seconds)
            found.append(list(answered))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await risk.close()
    return found


async def _ask_for_ever(risk: GuardedRisk) -> None:
    while True:
        with suppress(RiskUnavailable):
            await risk.assess(an_order())


async def _set_capacity(url: str, slots: int) -> None:
    await asyncio.to_thread(http, f"{url}/control", {"capacity": slots, "latency_ms": _SERVICE * 1000})


def figures(calls: list[Call], last: float) -> Figures:
    """Of the last so many seconds."""
    since = calls[-1].at - last
    latencies = sorted(call.seconds for call in calls if call.at > since)
    return Figures(len(latencies) / last, latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)])


async def table(url: str, slots: int, seconds: float, fixed: int) -> list[tuple[str, ...]]:
    """The rows: unloaded, then cold, halved and doubled with each of the limits."""
    [alone] = await calls_of(url, (1, 1), 1, [(seconds, slots)])
    unloaded = figures(alone, seconds)
    rows = [("one caller", "unloaded", *_cells(unloaded, unloaded, 1))]
    # Each phase: as long to find the capacity, and as long again to measure.
    course = [("cold", slots), ("halved", slots // 2), ("doubled", slots)]
    for name, limit in (("adaptive", (8, _CALLERS)), (f"fixed at {fixed:,}", (fixed, fixed))):
        found = await calls_of(url, limit, _CALLERS, [(2 * seconds, each) for _, each in course])
        for (phase, capacity), calls in zip(course, found, strict=True):
            cells = _cells(figures(calls, seconds), unloaded, capacity)
            rows.append((name, f"{phase}: {capacity} slots, after {seconds:g} s", *cells))
    return rows


def _cells(found: Figures, unloaded: Figures, slots: int) -> tuple[str, ...]:
    share = found.rate / (slots / _SERVICE)
    milliseconds = (f"{found.p50 * 1000:,.0f}", f"{found.p99 * 1000:,.0f}")
    return f"{found.rate:,.0f}", f"{share:.0%}", *milliseconds, f"{found.p99 / unloaded.p99:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("--slots", type=int, default=50, help=f"the API's capacity: calls of {_SERVICE:g} s at a time")
    parser.add_argument("--seconds", type=float, default=15.0, help="to find the capacity; then as long to measure")
    parser.add_argument("--fixed", type=int, default=1_000, help="the fixed limit to compare with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = RiskApiProcess(free_port(), Path(folder))
        try:
            api.wait_until_ready()
            rows = uvloop.run(table(api.url, given.slots, given.seconds, given.fixed))
        finally:
            api.discard()
    for row in (_HEAD, ("---",) * len(_HEAD), *rows):
        print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
