"""`make chaos`: orders flow while things are killed, frozen, cut and wiped by a seeded schedule; then the books."""

import argparse
import asyncio
import fcntl
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from devtools.programs import ROOT
from devtools.stack import StackError
from tests.chaos.books import read_books
from tests.chaos.history import hash_of, make_history, mixed
from tests.chaos.load import Load, make_lines
from tests.chaos.opening import PARTITIONS, open_rig
from tests.chaos.operations import MUTATIONS
from tests.chaos.previous import Version, check_out
from tests.chaos.progress import Shown, shown
from tests.chaos.report import Result, render, schedule_text
from tests.chaos.run import Run, prepare
from tests.chaos.schedule import KINDS, PAUSE, ROLL, make_schedule
from tests.chaos.verifier import verify
from tests.chaos.verify_decisions import read_policies

_LOCAL = Path(".local")
#: Faults that need something from before the run.
_OPERATED = {name for name, kind in KINDS.items() if kind.lane == "operators"}
#: As in docs/how-to/add-partitions.md, which goes from them to twelve.
FEW_PARTITIONS = 4
#: Three minutes: `seen` forgets within the run, and PostgreSQL answers.
_FORGETFUL = {"SEEN_RETENTION": 0.05}
#: On a slow machine the load goes on until the operators are done, so many seconds' worth at a time.
_AT_A_TIME = 2.0
#: Up to these minutes, faults are held for their shorter time, and servers are started for a brief life.
SHORT = 3.0


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
    mutation: str = "",
    previous: Version | None = None,
    pause: float = PAUSE,
    show: Shown,
) -> Result:
    """One run from nothing to the verdict. The books and the workers' logs stay under `root`.

    `mutation`: a fault of tests/chaos/mutated_command.py that the commands have. With a `previous` version all workers
    begin with it, and change to this one and back, one at a time.
    """
    seconds = minutes * 60
    planned = make_schedule(seed, seconds, names, short=minutes <= SHORT, rolls=previous is not None, pause=pause)
    show.say(f"seed {seed}: {len(planned)} faults\n{schedule_text(planned)}")
    history = make_history(seed, datetime.now(UTC)) if _OPERATED & set(names) else None
    async with open_rig(
        root,
        cache,
        workers=workers,
        brokers=brokers,
        say=show.say,
        partitions=FEW_PARTITIONS if "grow" in names else PARTITIONS,
        settings=_FORGETFUL if "retention" in names else {},
        previous=previous,
        brief=minutes <= SHORT,
    ) as rig:
        # The version before asks again and again about such orders, and would never come to rest.
        make = functools.partial(make_lines, no_file=0) if previous else make_lines
        lines = make(rate, seconds, seed)
        lines = mixed(lines, history.repeats, seed) if history else lines
        load = Load(
            rig.environ["CREDITSTREAM_KAFKA_BROKERS"],
            rig.stack.tools / "kafka-console-producer",
            lines,
            rate=rate,
            partitions=rig.monitor.partitions,
            seed=seed,
        )
        rig.mutation = mutation
        if history:
            show.say(f"history    {await prepare(rig, load, history)} records from before")
        run = Run(rig, load, planned, show, pause=pause)
        more = itertools.count(1)
        load.more = lambda: make(rate, _AT_A_TIME, hash_of(seed, next(more))) if run.operators_wait() else []
        started = time.monotonic()
        settled_in = await run.run()
        flowing = time.monotonic() - started - settled_in
        for number in list(rig.workers):
            await rig.stop(number)
        books = await read_books(
            rig.environ, load.sent, rig.stack.environment()["CREDITSTREAM_RISK_URL"], rig.status_book, rig.purpose
        )
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
            verdict=verify(books, run.allowed(), read_policies(*([ROOT, previous.code] if previous else []))),
            previous=previous.revision if previous else "",
            failures=rig.failures,
            pauses=rig.pauses,
            operations=rig.operations,
            removed={kind: len(getattr(rig.purpose, kind)) for kind in ("dropped", "expired", "forgotten")},
            books=books,
        )


@contextmanager
def alone(parser: argparse.ArgumentParser) -> Iterator[tuple[Path, Shown]]:
    """The run's folder and how it shows itself; one run at a time."""
    folder = _LOCAL / "chaos"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock, shown() as show:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error("another run of make chaos is under way")
        yield (folder / "run").absolute(), show


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same faults and orders")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long orders flow")
    parser.add_argument("--faults", default="", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="3: a cluster, everything three times")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=200.0, help="records per second")
    parser.add_argument("--mutate", default="", choices=["", *MUTATIONS], help="calibration: not clean then")
    parser.add_argument("--previous", default="", help=f"a revision: upgrades from it and back ({ROLL.name}) too")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds between two faults, at least")
    options = parser.parse_args()
    usual = [name for name in KINDS if not options.previous or name not in _OPERATED]
    names = options.faults.split(",") if options.faults else usual
    if unknown := set(names) - {*KINDS, *([ROLL.name] if options.previous else [])}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if options.workers < 2 or options.minutes <= 0 or options.rate <= 0:
        parser.error("at least two workers, and minutes and rate above zero")
    with alone(parser) as (root, show):
        result = asyncio.run(
            chaos(
                seed=options.seed,
                minutes=options.minutes,
                names=[name for name in names if name in KINDS],
                rate=options.rate,
                root=root,
                cache=_LOCAL / "cache",
                workers=options.workers,
                brokers=options.brokers,
                mutation=options.mutate,
                pause=options.pause,
                previous=check_out(options.previous, _LOCAL / "chaos" / "versions") if options.previous else None,
                show=show,
            )
        )
    (_LOCAL / "chaos" / "latest.json").write_text(json.dumps(result.as_dict(), indent=2, default=str) + "\n")
    render(Console(), result)
    return 0 if result.clean else 1


def run_program(main: Callable[[], int]) -> NoReturn:
    """Ends the process: interrupted, or without a server, in one line."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("make chaos: interrupted, everything is stopped")
    except StackError as error:
        print(f"make chaos: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run_program(main)
