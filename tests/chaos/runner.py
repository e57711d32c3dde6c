"""`make chaos`: orders flow while things are killed, frozen, cut and wiped by a seeded schedule; then the books."""

import argparse
import asyncio
import fcntl
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg2
from rich.console import Console

from creditstream.dev.stack import StackError
from tests.chaos.books import read_books
from tests.chaos.evidence import Allowed
from tests.chaos.faults import FAULTS
from tests.chaos.load import Load, make_lines
from tests.chaos.progress import Shown, shown
from tests.chaos.report import Result, render, schedule_text
from tests.chaos.rig import MAX_IN_FLIGHT, Rig, open_rig
from tests.chaos.schedule import KINDS, PAUSE, Planned, make_schedule
from tests.chaos.verifier import verify

_LOCAL = Path(".local")
#: Up to these minutes, faults are held for their shorter time.
SHORT = 3.0
#: After the last fault: parked orders wait for their turn, a backlog of a minute is worked off.
_SETTLES_WITHIN = 180.0
_SHOW_EVERY = 1.0
#: An answer that was on its way when a fault of the risk API began or ended may be lost with it.
_MARGIN = 4.0


class Run:
    """One run: the load, the lanes of faults, the watchers, and what they note."""

    def __init__(self, rig: Rig, load: Load, planned: Sequence[Planned], show: Shown, *, pause: float) -> None:
        self.rig, self.load, self.planned, self.show, self._pause = rig, load, planned, show, pause
        self.allowed = Allowed(lost_answers=[])
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
                for lane in ("workers", "servers"):
                    work.create_task(self._inject([each for each in self.planned if each.kind.lane == lane]))
            await self.rig.heal()
            return await self._settle()
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _inject(self, planned: Sequence[Planned]) -> None:
        ended = 0.0
        for each in planned:
            # A slow machine's servers take longer to come back than was planned: the pause is kept all the same.
            await asyncio.sleep(max(self._started + each.at, ended + self._pause) - time.monotonic())
            kind = each.kind
            self.now[kind.lane] = kind.name
            share = {"none": 0, "one": 1, "all": len(self.rig.workers)}[kind.disturbs]
            self.allowed.calls += share * MAX_IN_FLIGHT
            since = time.time()
            try:
                await FAULTS[kind.name](self.rig, each)
            except (StackError, OSError, psycopg2.Error) as error:
                self.rig.failures.append(f"{kind.name}: {type(error).__name__}: {error}")
            if kind.loses_answers:
                self.allowed.lost_answers = [*self.allowed.lost_answers, (since - _MARGIN, time.time() + _MARGIN)]
            self.done.append(kind.name)
            self.now.pop(kind.lane)
            ended = time.monotonic()

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


async def chaos(
    *,
    seed: int,
    minutes: float,
    names: Sequence[str],
    rate: float,
    root: Path,
    cache: Path,
    workers: int = 3,
    brokers: int = 1,
    pause: float = PAUSE,
    show: Shown,
) -> Result:
    """One run from nothing to the verdict. The books and the workers' logs stay under `root`."""
    seconds = minutes * 60
    planned = make_schedule(seed, seconds, names, short=minutes <= SHORT, pause=pause)
    show.say(f"seed {seed}: {len(planned)} faults\n{schedule_text(planned)}")
    lines = make_lines(rate, seconds, seed)
    async with open_rig(root, cache, workers=workers, brokers=brokers, say=show.say) as rig:
        console = rig.stack.tools / "kafka-console-producer"
        addresses = rig.environ["CREDITSTREAM_KAFKA_BROKERS"]
        load = Load(addresses, console, lines, rate=rate, partitions=rig.monitor.partitions, seed=seed)
        run = Run(rig, load, planned, show, pause=pause)
        started = time.monotonic()
        settled_in = await run.run()
        flowing = time.monotonic() - started - settled_in
        for number in list(rig.workers):
            await rig.stop(number)
        books = await read_books(rig.environ, load.sent, rig.stack.environment()["CREDITSTREAM_RISK_URL"])
        return Result(
            seed=seed,
            minutes=minutes,
            brokers=brokers,
            workers=workers,
            faults=run.done,
            seconds=flowing,
            settled_in=settled_in,
            unsure=load.unsure,
            producers=dict(load.producers),
            recoveries=dict(rig.monitor.recoveries),
            verdict=verify(books, run.allowed),
            failures=rig.failures,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same faults and orders")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long orders flow")
    parser.add_argument("--faults", default="", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="3: a cluster, everything three times")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=200.0, help="records per second")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds between two faults, at least")
    options = parser.parse_args()
    names = options.faults.split(",") if options.faults else list(KINDS)
    if unknown := set(names) - set(KINDS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if options.workers < 2 or options.minutes <= 0 or options.rate <= 0:
        parser.error("at least two workers, and minutes and rate above zero")
    root = _LOCAL / "chaos"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock, shown() as show:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error("another run of make chaos is under way")
        result = asyncio.run(
            chaos(
                seed=options.seed,
                minutes=options.minutes,
                names=names,
                rate=options.rate,
                root=(root / "run").absolute(),
                cache=_LOCAL / "cache",
                workers=options.workers,
                brokers=options.brokers,
                pause=options.pause,
                show=show,
            )
        )
    (root / "latest.json").write_text(json.dumps(result.as_dict(), indent=2, default=str) + "\n")
    render(Console(), result)
    return 0 if result.clean else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("make chaos: interrupted, everything is stopped")
    except StackError as error:
        print(f"make chaos: {error}", file=sys.stderr)
        sys.exit(2)
