"""One run: the load, the lanes of faults, the watchers, and what they note."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import psycopg2

from creditstream.config.load import load_settings
from devtools.settled import wait_until_settled
from devtools.stack import StackError
from devtools.wait import wait_for
from tests.chaos.disruptions import all_disruptions
from tests.chaos.evidence import Allowed, Window
from tests.chaos.faults import FAULTS
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.progress import Shown
from tests.chaos.rig import ATTEMPT_TIMEOUT, Rig
from tests.chaos.schedule import LANES, Planned

#: After the last fault: parked orders wait for their turn, a backlog of a minute is worked off.
_SETTLES_WITHIN = 180.0
_SHOW_EVERY = 1.0
#: An answer that was on its way when a fault of the risk API began or ended may be lost with it.
_MARGIN = 4.0
#: Seconds between two calls that the API gets when the first has timed out: on a slow machine it gets that one late.
_RETRIES_AFTER = ATTEMPT_TIMEOUT / 2
#: A fault of the workers begins with it: seconds for a signal to each of them.
_CRASHES_WITHIN = 0.5


class Run:
    """Driven by `run`, once."""

    def __init__(self, rig: Rig, load: Load, planned: Sequence[Planned], show: Shown, *, pause: float) -> None:
        self.rig, self.load, self.planned, self.show, self._pause = rig, load, planned, show, pause
        self._crashes: list[Window] = []
        self._lost_answers: list[Window] = []
        self.done: list[str] = []
        self.now: dict[str, str] = {}
        self._started = time.monotonic()

    async def run(self) -> float:
        """Returns how long it took to come to rest after the last fault and the last order."""
        watchers = [
            asyncio.create_task(watch)
            for watch in (self.rig.monitor.run(), self.rig.watch_workers(), self._show_progress())
        ]
        self._started = time.monotonic()
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(self.load.run())
                for lane in LANES:
                    work.create_task(self._inject([each for each in self.planned if each.kind.lane == lane]))
            await self.rig.heal()
            return await self._settle()
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    def allowed(self) -> Allowed:
        """What I6 grants for all that was done; asked at the end."""
        return Allowed(all_disruptions(self._crashes, self.rig.root / "logs"), self._lost_answers, _RETRIES_AFTER)

    def operators_wait(self) -> bool:
        """Whether a command that is planned was not done once: it is to be done while orders flow."""
        return any(each.kind.lane == "operators" and each.kind.name not in self.done for each in self.planned)

    async def _inject(self, planned: Sequence[Planned]) -> None:
        ended = 0.0
        for each in planned:
            # A slow machine's servers take longer to come back than was planned: the pause is kept all the same.
            await asyncio.sleep(max(self._started + each.at, ended + self._pause) - time.monotonic())
            if self.load.is_over and each.kind.name in self.done:
                continue  # a slow machine is behind the schedule, and without orders it shows nothing new
            async with self.rig.staff if each.kind.lane == "workers" else nullcontext():
                await self._do(each)
            ended = time.monotonic()

    async def _do(self, each: Planned) -> None:
        kind = each.kind
        self.now[kind.lane] = kind.name
        since = time.time()
        if kind.disturbs:
            self._crashes.append((since, since + _CRASHES_WITHIN))
        try:
            await FAULTS[kind.name](self.rig, each)
        except (StackError, OSError, psycopg2.Error) as error:
            self.rig.failures.append(f"{kind.name}: {type(error).__name__}: {error}")
        if kind.loses_answers:
            self._lost_answers.append((since - _MARGIN, time.time() + _MARGIN))
        self.done.append(kind.name)
        self.now.pop(kind.lane)

    async def _settle(self) -> float:
        """Every record done and every order decided, seen at a look that is later than the last order."""
        monitor, started = self.rig.monitor, time.monotonic()
        while time.monotonic() - started < _SETTLES_WITHIN:
            at_rest = monitor.looked > started and not any(monitor.lag.values())
            if at_rest and not await asyncio.to_thread(self.rig.undecided):
                return time.monotonic() - started
            await asyncio.sleep(0.5)
        undecided = await asyncio.to_thread(self.rig.undecided)
        self.rig.failures.append(f"no rest: {monitor.stuck} records not done, {undecided} orders not decided")
        return time.monotonic() - started

    async def _show_progress(self) -> None:
        while True:
            await asyncio.sleep(_SHOW_EVERY)
            monitor, elapsed = self.rig.monitor, time.monotonic() - self._started
            self.show.advance(
                monitor.done,
                self.load.total,
                f"{elapsed:4.0f} s  sent {len(self.load.sent):,}  lag {sum(monitor.lag.values()):,}  "
                f"workers {len(self.rig.running())}  faults {len(self.done)} of {len(self.planned)}  "
                + " + ".join(self.now.values()),
            )


async def prepare(rig: Rig, load: Load, history: History) -> int:
    """What was before the run is decided before it begins. Returns how many records it is."""
    rig.history, rig.send = history, load.send_now
    await load.send_now(history.lines)
    await wait_until_settled(load_settings(rig.environ), len(history.lines), show=lambda *_: nullcontext(_ignore))
    await asyncio.to_thread(wait_for, lambda: not rig.undecided(), _SETTLES_WITHIN, "the history is decided")
    return len(history.lines)


def _ignore(_: Any) -> None:
    return
