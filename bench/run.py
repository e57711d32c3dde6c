"""`make bench`: the same orders, broker, database and risk API for each contender, interleaved, in one run."""

import argparse
import signal
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.burst import Measured, a_place, at_work, burst, some_orders, words
from bench.contenders import CONTENDERS, Creditstream
from bench.peers import install_peers
from bench.report import write_report
from devtools.stack import Ports, Stack

_ROOT = Path(".local/bench")
_LATENCIES = (0, 5, 50)
#: Share of the orders that come before, so that caches, pools and limits are where they stay.
_WARM_UP = 0.1
#: Seconds of each part load.
_PART_LOAD = 12.0
_PART_LOADS = (0.5, 0.95)

#: By risk API latency, then contender: one measurement a round.
Rounds = dict[int, dict[str, list[Measured]]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of orders")
    parser.add_argument("--latency-ms", type=int, action="append", choices=_LATENCIES, help="of the risk API")
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append", help="these contenders and no others")
    options = parser.parse_args()
    names, latencies = options.only or list(CONTENDERS), options.latency_ms or list(_LATENCIES)
    if {"faststream", "quix"} & set(names):
        install_peers()
    rounds: Rounds = {latency: {name: [] for name in names} for latency in latencies}
    with started(_ROOT) as stack:
        for number in range(options.rounds):
            for name in names:
                print(f"round {number + 1} of {options.rounds}: {name}", flush=True)
                for latency in latencies:
                    rounds[latency][name].append(_measure(stack, name, latency, options.scale, number))
        part = _part_loads(stack, rounds, options.scale) if "creditstream" in names and 50 in latencies else {}
    write_report(rounds, part)
    return 0


class started(ExitStack):
    """A stack of its own, gone at the end."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __enter__(self) -> Stack:  # type: ignore[override]  # what is entered is the stack
        super().__enter__()
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the stack would stay
        Stack(self._root, Ports.chosen(self._root / "stack" / "ports.json", {})).clean()
        stack = Stack(self._root, Ports.free(), cache=Path(".local/cache"))
        self.callback(stack.clean)
        stack.up(lambda name, text, last: print(f"{name:<10} {text}", flush=True) if last else None)
        return stack


def _measure(stack: Stack, name: str, latency: int, scale: float, seed: int) -> Measured:
    """Started anew for each latency: what was learned at another one (an adaptive limit) would count as its cost."""
    contender = CONTENDERS[name](a_place(stack, name, _ROOT))
    orders = max(20, int(contender.orders[latency] * scale))
    stack.set_risk(latency_ms=latency)
    with at_work(stack, contender):
        burst(contender, some_orders(max(10, int(orders * _WARM_UP)), seed=10_000 + seed))
        measured = burst(contender, some_orders(orders, seed=1_000 * seed + latency))
    print(f"  {latency:>2} ms: {words(measured)}", flush=True)
    return measured


def _part_loads(stack: Stack, rounds: Rounds, scale: float) -> dict[str, Measured]:
    """How long orders take when they come at a part of what the worker can do, with the risk API at 50 ms.

    What it can do is measured with orders that come one by one: of a burst the batches are larger, and cheaper.
    """
    most = statistics.median(each.orders_per_second for each in rounds[50]["creditstream"])
    stack.set_risk(latency_ms=50)
    taken = {}
    with at_work(stack, Creditstream(a_place(stack, "part-load", _ROOT))) as contender:
        burst(contender, some_orders(3_000, seed=20_000))
        steady = burst(contender, some_orders(int(most * _PART_LOAD * scale), seed=19_000), most)
        print(f"as many as it can: {words(steady)}", flush=True)
        for share in _PART_LOADS:
            rate = steady.orders_per_second * share
            measured = burst(contender, some_orders(int(rate * _PART_LOAD * scale), seed=int(20_000 + rate)), rate)
            taken[f"{share:.0%}"] = measured
            print(f"{share:.0%} load: {words(measured)}", flush=True)
    return taken


if __name__ == "__main__":
    sys.exit(main())
