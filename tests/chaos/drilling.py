"""Plays drills one after the other and notes when each alert fired and when it was resolved."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.chaos.alarms import Alarms
from tests.chaos.drills import Drill, Scene
from tests.chaos.steady import look_at_pages
from tests.support.prometheus import Prometheus

#: Generous: a machine under load takes its time, and what does not come is a fault.
FIRES_WITHIN = 180.0
RESOLVED_WITHIN = 240.0
#: Six scaled hours must be clean first, and each drill adds to what is late.
_ENDS_LAST = ("CreditstreamLateBurn3d", "CreditstreamLateBurn6h")
_LAST_WITHIN = 900.0
Say = Callable[[str], None]


@dataclass
class Row:
    """One line of the table. Seconds from the fault's begin to firing, from the last mend to resolved; None: never."""

    alert: str
    fault: str
    fires: float | None = None
    resolved: float | None = None


@dataclass
class Drilled:
    """What came of it. `false_alarms`: fired in the healthy time before."""

    rows: list[Row] = field(default_factory=list)
    healthy_seconds: float = 0.0
    false_alarms: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        complete = all(row.fires is not None and row.resolved is not None for row in self.rows)
        return complete and not self.false_alarms


@asynccontextmanager
async def at_work(server: Prometheus, scene: Scene, urls: Callable[[], Sequence[str]]) -> AsyncIterator[Alarms]:
    """Orders flow, somebody looks at the page, and it is noted what fires."""
    alarms = Alarms(server)
    tasks = [asyncio.create_task(each) for each in (alarms.run(), scene.load.run(), look_at_pages(urls))]
    try:
        yield alarms
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def healthy(alarms: Alarms, seconds: float, drilled: Drilled, say: Say) -> None:
    """Nothing may fire."""
    since = time.monotonic()
    say(f"healthy for {seconds:.0f} s")
    await asyncio.sleep(seconds)
    drilled.healthy_seconds = seconds
    drilled.false_alarms = sorted(name for name, times in alarms.fired.items() if any(at >= since for at in times))


async def play(drills: Sequence[Drill], scene: Scene, alarms: Alarms, drilled: Drilled, say: Say) -> None:
    """Each begins when its own alerts are quiet."""
    began: dict[str, float] = {}
    mended: list[float] = []
    for drill in drills:
        names = (*drill.alerts, *drill.after)
        await alarms.until_quiet(names, RESOLVED_WITHIN)
        say(f"fault: {drill.fault}")
        since = time.monotonic()
        began |= dict.fromkeys(names, since)
        async with drill.play(scene):
            missing = await alarms.until_fired(drill.alerts, since, FIRES_WITHIN)
        mended.append(time.monotonic())
        missing += await alarms.until_fired(drill.after, since, FIRES_WITHIN)
        drilled.rows += [Row(name, drill.fault) for name in names]
        soon = [name for name in names if name not in _ENDS_LAST]
        left = await alarms.until_quiet(soon, RESOLVED_WITHIN)
        for what, which in (("does not fire", missing), ("is not resolved", left)):
            for name in which:
                say(f"  {name} {what}")
    last = [row.alert for row in drilled.rows if row.alert in _ENDS_LAST]
    if last:
        say(f"until {', '.join(last)} are over")
        await alarms.until_quiet(last, _LAST_WITHIN)
    _fill(drilled, alarms, began, mended)


def _fill(drilled: Drilled, alarms: Alarms, began: dict[str, float], mended: Sequence[float]) -> None:
    for row in drilled.rows:
        since = began[row.alert]
        row.fires = next((at - since for at in alarms.fired[row.alert] if at >= since), None)
        ends = [at for at in alarms.resolved[row.alert] if row.fires is not None and at > since + row.fires]
        ends_last = row.alert in _ENDS_LAST
        if not ends or (ends_last and row.alert in alarms.firing):
            continue
        end = ends[-1] if ends_last else ends[0]
        mends = [at for at in mended if since < at <= end]
        row.resolved = end - mends[-1] if mends else 0.0
