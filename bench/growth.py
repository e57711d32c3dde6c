"""`make bench BENCH=growth`: how the CPU of an order grows with what the worker remembers, stores, owns and is sent."""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.burst import Measured, a_place, burst, some_orders, words
from bench.contenders import Creditstream, Place
from bench.fill import fill_ids, fill_rows
from bench.report import machine, save
from bench.run import started
from creditstream.simulation.mix import Line
from devtools.stack import Stack

_ROOT = Path(".local/growth")
_ORDERS = 10_000


class Case(NamedTuple):
    """One row's one cell: what is there before the orders come, and what they are."""

    row: str
    size: str
    partitions: str = "4"
    rows: int = 0
    ids: int = 0
    workers: int = 1
    padding: int = 0


class Worker(Creditstream):
    """Of its rows only today's are asked for, which an index finds: reading millions would cost what is measured."""

    _today = " AND created_at >= date_trunc('day', now(), 'UTC')"
    rows = Creditstream.rows + _today
    count = Creditstream.count + _today


def cases(most: int) -> list[Case]:
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size <= most]
    partitions = ("4", "16", "64")
    return [
        *(Case("ids in seen", f"{size:,}", ids=size) for size in sizes),
        *(Case("rows in orders", f"{size:,}", rows=size) for size in sizes),
        *(Case("partitions", count, partitions=count) for count in partitions),
        *(Case("workers", str(count), workers=count) for count in (1, 2, 4)),
        *(Case("order size", f"{size} bytes", padding=size) for size in (0, 1_000, 4_000, 16_000)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=growth", description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000, help="ids and rows (10,000,000 takes long)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", help="these rows: part of their name")
    options = parser.parse_args()
    only = options.only or [""]
    wanted = [case for case in cases(options.most) if any(each in case.row for each in only)]
    taken: dict[Case, list[Measured]] = {case: [] for case in wanted}
    with started(_ROOT) as stack:
        places = {case: prepare(stack, case) for case in wanted}
        for number in range(options.rounds):
            for case, place in places.items():
                taken[case].append(measure(place, case, seed=number))
                print(f"{case.row} {case.size}: {words(taken[case][-1])}", flush=True)
    report(taken)
    return 0


def prepare(stack: Stack, case: Case) -> Place:
    """A place with what is there before the orders come: made once, so that the rounds of all cases can take turns."""
    given = {"CREDITSTREAM_PARTITIONS": case.partitions, "CREDITSTREAM_RISK_CONCURRENCY_FLOOR": "256"}
    place = a_place(stack, "growth", _ROOT, given)
    if case.rows:
        fill_rows(place, case.rows)
    if case.ids:
        with group(place, case) as [worker]:  # its first start makes the tables
            worker.stop()
        fill_ids(place, case.ids)
    if case.rows or case.ids:
        print(f"{case.row} {case.size}: filled", flush=True)
    return place


def measure(place: Place, case: Case, seed: int) -> Measured:
    """The group's CPU per order in that case, at a risk API that answers at once."""
    with group(place, case) as workers:
        burst(workers[0], padded(some_orders(500, seed=1_000 + seed), case.padding))
        before = [worker.cpu_seconds() for worker in workers]
        measured = burst(workers[0], padded(some_orders(_ORDERS, seed=seed), case.padding))
        spent = sum(worker.cpu_seconds() - at for worker, at in zip(workers, before, strict=True))
    measured.cpu_us = spent / _ORDERS * 1e6
    return measured


@contextmanager
def group(place: Place, case: Case) -> Iterator[list[Worker]]:
    """So many workers of one group, each with a folder of its own."""
    workers = [
        Worker(
            Place(place.environ, place.folder / str(number)),
            CREDITSTREAM_DATA_DIR=str(place.folder / str(number) / "data"),
        )
        for number in range(case.workers)
    ]
    try:
        for worker in workers:
            worker.start()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def padded(lines: list[Line], size: int) -> list[Line]:
    """The same orders with so many bytes more of metadata, as trace contexts and attachments have it."""
    if not size:
        return lines
    changed = []
    for line in lines:
        order = json.loads(line.value)
        order["metadata"]["note"] = "x" * size
        changed.append(line._replace(value=json.dumps(order, separators=(",", ":"), ensure_ascii=False).encode()))
    return changed


def report(taken: dict[Case, list[Measured]]) -> None:
    """bench/results/growth.json and a table: each size's factor to its row's first, and the first worker's peak RSS.

    The factor is the median of the rounds' own: a machine that others use is not the same in each.
    """
    table = Table(title=f"CPU of an order; {machine()}")
    for head in ("what grows", "to", "CPU µs/order", "factor", "orders/commit", "RSS MB"):
        table.add_column(head, justify="left" if head == "what grows" else "right")
    first: dict[str, list[float]] = {}
    found = []
    for case, measured in taken.items():
        rounds = [each.cpu_us for each in measured]
        ratios = zip(rounds, first.setdefault(case.row, rounds), strict=True)
        cpu, factor = statistics.median(rounds), statistics.median(ours / theirs for ours, theirs in ratios)
        commit = 1 / statistics.median(each.transactions for each in measured)
        rss = max(each.rss_mb for each in measured)
        table.add_row(case.row, case.size, f"{cpu:,.0f}", f"{factor:.2f}", f"{commit:,.0f}", f"{rss:,.0f}")
        one = {"row": case.row, "size": case.size, "cpu_us": cpu, "factor": factor, "orders_per_commit": commit}
        found.append({**one, "rss_mb": rss, "rounds": rounds})
    Console().print(table)
    save("growth", growth=found)


if __name__ == "__main__":
    sys.exit(main())
