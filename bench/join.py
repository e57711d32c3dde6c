"""`make bench BENCH=join`: how long orders wait when a worker joins, dies, stops, or begins with an empty disk."""

import argparse
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.burst import a_place, burst, some_orders
from bench.contenders import Place
from bench.join_watch import Load, Seen, Worker, remember
from bench.report import save
from bench.run import started
from devtools.stack import Stack
from devtools.wait import wait_for

_ROOT = Path(".local/bench-join")
_PARTITIONS = 12
#: Of the risk API.
_LATENCY_MS = 50
#: Seconds of load in which something happens, and after how many.
_LOAD, _AT = 16.0, 4.0
_FILL = 20.0
_EXPELLED = ("was not recognized", "generation id is not", "UnknownMemberId")


class Scene:
    """Two workers on one group."""

    def __init__(self, stack: Stack, place: Place, rate: int) -> None:
        self.place, self.rate, self._seed = place, rate, 0
        self.first, self.second = (
            Worker(place._replace(folder=place.folder / name), **_own()) for name in ("first", "second")
        )

    def load(self, rate: int | None = None, seconds: float = _LOAD) -> Load:
        self._seed += 1
        return Load(self.place, rate or self.rate, seconds, self._seed)

    def both(self) -> None:
        """At work, each with its share, on empty disks."""
        self.none()
        for worker in (self.first, self.second):
            worker.wipe()
            worker.start()
        self.settled()

    def none(self) -> None:
        for worker in (self.first, self.second):
            worker.stop()

    def settled(self) -> None:
        """Each has half of the partitions."""
        half = _PARTITIONS // 2
        wait_for(lambda: len(self.first.partitions) == len(self.second.partitions) == half, 60.0, "each has its share")

    def expelled(self) -> int:
        """How often a living member was told that it is none, so far: aiokafka's own words."""
        return sum(worker.log().count(words) for worker in (self.first, self.second) for words in _EXPELLED)

    def calls(self) -> int:
        """Of the bureau, so far."""
        with urllib.request.urlopen(self.place.environ["CREDITSTREAM_RISK_URL"] + "/journal", timeout=10) as answer:
            return int(json.loads(answer.read())["calls"])


Found = dict[str, Any]


def _own() -> dict[str, str]:
    return {"CREDITSTREAM_SESSION_TIMEOUT": "6"}


def _case(scene: Scene, what: str, act: Callable[[Load], frozenset[int]], rate: int | None = None) -> Found:
    """`act` says which partitions it moved. The waits are of all orders of the load."""
    expelled, calls = scene.expelled(), scene.calls()
    with scene.load(rate) as load:
        load.until(_AT)
        moved = act(load)
    found = {
        "moved": _longest(load.seen, lambda each: each.partition in moved),
        "not_moved": _longest(load.seen, lambda each: each.partition not in moved),
        "expelled": scene.expelled() - expelled,
        "asked_twice": scene.calls() - calls - len(load.seen),
    }
    print(f"  {what}: {found}", flush=True)
    return found


def _longest(seen: list[Seen], counts: Callable[[Seen], bool]) -> float:
    return round(max((each.wait for each in seen if counts(each)), default=0.0), 2)


def joins(scene: Scene, rate: int) -> Found:
    """A worker with an empty disk."""
    scene.none()
    scene.first.start()

    def act(_load: Load) -> frozenset[int]:
        scene.second.wipe()
        scene.second.start()
        scene.settled()
        return scene.second.partitions

    return _case(scene, f"a worker joins, {rate}/s", act, rate)


def leaves(scene: Scene, how: str) -> Found:
    """One of two, on empty disks."""
    scene.both()
    moved = scene.second.partitions

    def act(_load: Load) -> frozenset[int]:
        getattr(scene.second, how)()
        return moved

    return _case(scene, f"one of two: {how}", act)


def restarts(scene: Scene) -> Found:
    """One of two is stopped and started again, as a roll does it."""
    scene.both()
    moved = scene.second.partitions

    def act(_load: Load) -> frozenset[int]:
        scene.second.stop()
        scene.second.start()
        return moved

    return _case(scene, "one of two is restarted", act)


def begins_anew(scene: Scene, workers: int) -> Found:
    """All that there are, at once, on empty disks: seconds from the process's begin to the first decision."""
    scene.both() if workers == 2 else scene.none()
    mine = (scene.first, scene.second)[:workers]
    for worker in mine:
        worker.kill()
        worker.wipe()
    with scene.load(seconds=25.0) as load:
        for worker in mine:
            worker.launch()
    found = round(min(each.told for each in load.seen) - mine[0].began, 2)
    print(f"  {workers} of {workers} begin anew: first decision after {found} s", flush=True)
    return {"first_decision": found}


def fills(scene: Scene) -> Found:
    """One worker, while it fills and when it is whole: the cost of an order, how long orders take."""
    scene.none()
    scene.first.wipe()
    scene.first.start()
    filling = _at_300(scene, 300)
    wait_for(lambda: scene.first.is_whole, 1_800.0, "it is filled")
    whole = _at_300(scene, 301)
    scene.none()
    scene.first.wipe()
    scene.first.start()
    wait_for(lambda: scene.first.is_whole, 1_800.0, "it is filled, idle")
    told = scene.first.log().rpartition("seen: ")[2].partition("\n")[0]
    found = {
        "filling": filling,
        "whole": whole,
        "cost": round(filling["cpu_us"] / whole["cpu_us"], 2),
        "p99": round(filling["p99_ms"] / whole["p99_ms"], 2),
        "idle": told,
        "rss_mb": round(scene.first.rss_mb()),
        "descriptors": scene.first.descriptors(),
    }
    print(f"  filling: {found}", flush=True)
    return found


def _at_300(scene: Scene, seed: int) -> Found:
    measured = burst(scene.first, some_orders(int(300 * _FILL), seed + int(time.time())), 300)
    return {"cpu_us": round(measured.cpu_us), "p99_ms": round(measured.p99_ms, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=join", description=__doc__)
    parser.add_argument("--ids", type=int, action="append", help="that the group remembers (10^5, 10^6 and 10^7)")
    parser.add_argument("--rate", type=int, default=150, help="orders a second")
    parser.add_argument("--times", type=int, default=3, help="each case but filling")
    parser.add_argument("--only", action="append", choices=list(CASES), help="these cases")
    given = parser.parse_args()
    found: dict[str, dict[str, list[Found]]] = {}
    with ExitStack() as cleanup:
        stack = cleanup.enter_context(started(_ROOT))
        stack.set_risk(latency_ms=_LATENCY_MS)
        place = a_place(stack, "join", _ROOT, {"CREDITSTREAM_PARTITIONS": str(_PARTITIONS)})
        scene = Scene(stack, place, given.rate)
        cleanup.callback(scene.none)
        had = 0
        for ids in given.ids or [10**5, 10**6, 10**7]:
            remember(place, had, ids)
            had = ids
            print(f"{ids:,} ids", flush=True)
            found[str(ids)] = _all(scene, given)
    save("join", rate=given.rate, found=found)
    return 0


CASES: dict[str, Callable[[Scene], Found]] = {
    "join": lambda scene: joins(scene, scene.rate),
    "join_1000": lambda scene: joins(scene, 1_000),
    "kill": lambda scene: leaves(scene, "kill"),
    "stop": lambda scene: leaves(scene, "stop"),
    "restart": restarts,
    "alone": lambda scene: begins_anew(scene, 1),
    "all": lambda scene: begins_anew(scene, 2),
    "filling": fills,
}


def _all(scene: Scene, given: argparse.Namespace) -> dict[str, list[Found]]:
    names = given.only or list(CASES)
    found: dict[str, list[Found]] = {name: [] for name in names}
    for number in range(given.times):
        for name in names:
            if name != "filling" or number == 0:
                found[name].append(CASES[name](scene))
    for name, each in found.items():
        if name != "filling":
            print(f"  {name}: medians {_over(each, statistics.median)}, worst {_over(each, max)}", flush=True)
    return found


def _over(found: list[Found], what: Callable[[list[float]], float]) -> dict[str, float]:
    return {name: what([each[name] for each in found]) for name in found[0]}


if __name__ == "__main__":
    sys.exit(main())
