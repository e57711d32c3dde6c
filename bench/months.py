"""`make bench BENCH=months`: what everybody else waits while orders of an old month cannot have its partition."""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg2

from bench.burst import Measured, a_place, ask, burst, produce, some_orders, words
from bench.contenders import Creditstream, Place
from bench.run import started
from creditstream.simulation.mix import make_mix
from devtools.wait import wait_for

_ROOT = Path(".local/bench-months")
_WORKERS = 2
#: Orders of each old month: they come in on different partitions, and so to both workers.
_OLD = 8
_OLD_ROWS = "SELECT count(*) FROM orders WHERE created_at < '2021-01-01' AND status <> 'under_review'"
_GOES_ON_WITHIN = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=months", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=200, help="orders a second of the usual months")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which the lock is held")
    given = parser.parse_args()
    ratios = []
    with ExitStack() as cleanup:
        stack = cleanup.enter_context(started(_ROOT))
        stack.set_risk(latency_ms=5)
        place = a_place(stack, "months", _ROOT)
        workers = [Creditstream(place._replace(folder=place.folder / str(number))) for number in range(_WORKERS)]
        for worker in workers:
            worker.start()
            cleanup.callback(worker.stop)
        burst(workers[0], some_orders(2_000, seed=1))
        for number in range(given.rounds):
            free = _measured(workers[0], given, 10 + number, "nobody holds a lock")
            with _old_month_waits(place, number + 1):
                held = _measured(workers[0], given, 100 + number, "an old month waits")
            ratios.append(held.p99_ms / free.p99_ms)
    print(f"p99 of the others, with the lock by without: {', '.join(f'{each:.2f}' for each in ratios)}")
    print(f"median {statistics.median(ratios):.2f}")
    return 0


def _measured(worker: Creditstream, given: argparse.Namespace, seed: int, what: str) -> Measured:
    measured = burst(worker, some_orders(int(given.rate * given.seconds), seed), given.rate)
    print(f"{what}: {words(measured)}", flush=True)
    return measured


@contextmanager
def _old_month_waits(place: Place, month: int) -> Iterator[None]:
    """Orders of a month without a partition wait; somebody's ANALYZE that takes its time holds the lock it needs."""
    old = make_mix(_OLD, 0, 0, 0, seed=1_000_000 + month, now=datetime(2020, month, 10, 12, tzinfo=UTC))
    before = _decided(place)
    with closing(psycopg2.connect(place.dsn)) as holder:
        holder.cursor().execute("LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE")
        asyncio.run(produce(place, old, 0.0))
        yield
        _refuse_unless(_decided(place) == before, "an old order was committed although its month was not there")
    began = time.monotonic()
    wait_for(lambda: _decided(place) == before + _OLD, _GOES_ON_WITHIN, "the old month's orders are decided")
    print(f"  its {_OLD} orders were decided {time.monotonic() - began:.1f} s after the lock was gone", flush=True)


def _decided(place: Place) -> int:
    return int(ask(place.dsn, _OLD_ROWS))


def _refuse_unless(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"creditstream: {what}")


if __name__ == "__main__":
    sys.exit(main())
