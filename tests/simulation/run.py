"""The command: seeds in, what came of each out. Each is played in a process of its own, forked from this one."""

import argparse
import gc
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.simulation import world  # noqa: F401 - what is imported here, the forked processes need not
from tests.simulation.clocks import real_monotonic
from tests.simulation.lines import tell_lines
from tests.simulation.plan import RECORDS, Plan, make_plan
from tests.simulation.play import Outcome, play
from tests.simulation.put_back import PUT_BACK
from tests.simulation.shrink import kind_of, shrunk, story
from tests.simulation.stories import STORIES

#: Seeds that are played before the results of the first of them are asked for.
_AHEAD = 8
#: CPU seconds in which a fault that was put back has to be found.
_FOUND_WITHIN = 60.0


class _Sum(NamedTuple):
    """Of all seeds so far."""

    seeds: int = 0
    lives: int = 0
    virtual: float = 0.0
    cpu: float = 0.0

    def with_(self, outcome: Outcome) -> "_Sum":
        return _Sum(self.seeds + 1, self.lives + outcome.lives, self.virtual + outcome.seconds, self.cpu + outcome.cpu)


def main() -> int:
    """Returns 1 if a seed is red, or if a fault that was put back is not found."""
    given = _arguments()
    if given.stories:
        return _play_all(iter(STORIES.values()), given)
    if given.fault and given.seed is not None:
        return _play_one(PUT_BACK[given.fault].plan(given.seed), "" if given.repaired else given.fault)
    if given.fault:
        names = list(PUT_BACK) if given.fault == "all" else [given.fault]
        return _find(names, given.first, given.jobs)
    if given.seed is not None:
        return _play_one(make_plan(given.seed, given.records))
    first = _resumed(given.log) or given.first
    seeds = range(first, first + given.seeds) if given.seeds else _for_ever(first)
    plans = (make_plan(seed, given.records) for seed in seeds)
    return tell_lines(plans, given.jobs) if given.lines else _play_all(plans, given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one: its plan, and if it is red its story")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many; 0: until it is stopped")
    parser.add_argument("--first", type=int, default=1, help="the first one (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--records", type=int, default=RECORDS, help="of each seed (default: %(default)s)")
    parser.add_argument("--fault", choices=[*PUT_BACK, "all"], help="put this fault back, and find it")
    parser.add_argument("--repaired", action="store_true", help="with --fault and --seed: its plan, without the fault")
    parser.add_argument("--stories", action="store_true", help="those in which a fault of the product was found")
    parser.add_argument("--lines", action="store_true", help="which lines of the order's way the seeds run")
    parser.add_argument("--log", type=Path, help="a line for each seed; a run with the same file goes on from there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds at a time (default: %(default)s)")
    parser.add_argument("--digests", action="store_true", help="print each seed's digest")
    return parser.parse_args()


def _resumed(log: Path | None) -> int | None:
    """The first seed that the log does not have."""
    if log is None or not log.exists():
        return None
    lines = log.read_text(encoding="utf-8").splitlines()
    return int(lines[-1].split()[0]) + 1 if lines else None


def _for_ever(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _play_one(plan: Plan, fault: str = "") -> int:
    for line in story(plan, ()):
        print(line)
    [outcome] = outcomes([plan], fault)
    print(f"digest {outcome.digest}, {outcome.seconds:.1f} virtual s, {outcome.cpu:.2f} s of CPU")
    if not outcome.wrong:
        return 0
    for line in outcome.wrong:
        print(f"red: {line}")
    _tell_story(plan, outcome.wrong, fault)
    return 1


def _tell_story(plan: Plan, wrong: tuple[str, ...], fault: str = "") -> None:
    """The shortest one that was found."""

    def wrong_in(smaller: Plan) -> tuple[str, ...]:
        [outcome] = outcomes([smaller], fault)
        return outcome.wrong

    small = shrunk(plan, kind_of(wrong), lambda smaller: kind_of(wrong_in(smaller)))
    print("the shortest story of it:")
    for line in story(small, wrong_in(small)):
        print(f"    {line}")


def _play_all(plans: Iterable[Plan], given: argparse.Namespace) -> int:
    started, red, total = real_monotonic(), [], _Sum()
    log = given.log.open("a", encoding="utf-8") if given.log else None
    for outcome in outcomes(plans, jobs=given.jobs):
        total = total.with_(outcome)
        if given.digests:
            print(outcome.seed, outcome.digest)
        if log:
            log.write(f"{outcome.seed} {outcome.digest} {outcome.lives} {outcome.cpu:.2f} {len(outcome.wrong)}\n")
            log.flush()
        if outcome.wrong:
            red.append(outcome.seed)
            print(f"\nseed {outcome.seed} is red: make simulate SEED={outcome.seed}")
            for line in outcome.wrong[:5]:
                print(f"    {line}")
        if total.seeds % 20 == 0:
            print(f"\r{total.seeds} seeds, {len(red)} red", end="", file=sys.stderr, flush=True)
        if given.seconds and real_monotonic() - started > given.seconds:
            break
    _tell_sum(total, red, real_monotonic() - started)
    return 1 if red else 0


def _tell_sum(total: _Sum, red: list[int], took: float) -> None:
    rate = total.lives / total.cpu * 3_600 if total.cpu else 0
    print(
        f"\n{total.seeds} seeds, {total.lives} records, {total.virtual / 3_600:.1f} virtual hours in {total.cpu:.0f} s "
        f"of CPU ({rate:,.0f} records an hour), {took:.0f} s; red: {red or 'none'}"
    )


def _find(names: list[str], first: int, jobs: int) -> int:
    missed = 0
    print(f"{'fault':34} {'seeds':>5} {'CPU s':>6}  found as")
    for name in names:
        fault, cpu, seeds, found = PUT_BACK[name], 0.0, 0, ""
        for outcome in outcomes((fault.plan(seed) for seed in range(first, first + 10_000)), name, jobs):
            cpu, seeds = cpu + outcome.cpu, seeds + 1
            if outcome.wrong:
                found = outcome.wrong[0]
                break
            if cpu > _FOUND_WITHIN:
                break
        missed += not found
        print(f"{name:34} {seeds:5} {cpu:6.1f}  {found or 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


def outcomes(plans: Iterable[Plan], fault: str = "", jobs: int | None = None) -> Iterator[Outcome]:
    """As they come to their end. Every world has a process of its own: it changes what the process is made of."""
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs or os.cpu_count(), maxtasksperchild=1) as pool:
        running: deque[Any] = deque()
        for plan in plans:
            running.append(pool.apply_async(_played, (fault, plan)))
            if len(running) > _AHEAD:
                yield running.popleft().get()
        while running:
            yield running.popleft().get()


def _played(fault: str, plan: Plan) -> Outcome:
    if fault:
        PUT_BACK[fault].put_back()
    return play(plan)
