"""`make bench BENCH=growth`: how the CPU of an order grows with what the worker remembers, stores, owns and is sent."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg2
from rich.console import Console
from rich.table import Table
from rocksdict import AccessType, Options, Rdict, WriteBatch

from bench.burst import Measured, a_place, burst, some_orders, words
from bench.contenders import Creditstream, Place
from bench.report import RESULTS, machine
from bench.run import started
from creditstream.dev.mix import Line
from creditstream.dev.stack import Stack

_ROOT = Path(".local/growth")
_ORDERS = 10_000
_WRITES = 50_000
#: As the table has it: what is written without it would be taken for long expired.
_TTL = 168 * 3600
#: Rows that one statement writes.
_STEP = 1_000_000
#: How to take every index of both tables away, and to make it again: ten million random ids are sorted once
#: instead of looked up five times each.
_INDEXES = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE contype = 'p' AND conrelid IN ('orders'::regclass, 'order_keys'::regclass)
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index WHERE indrelid = 'orders'::regclass AND NOT indisprimary
"""
#: Rows of orders as they are a month later, none of today; ids are not those of the burst.
_FILL = """
WITH given AS (
    SELECT gen_random_uuid() AS order_id, date_trunc('month', today) + random() * (today - date_trunc('month', today))
        AS created_at
    FROM generate_series(1, {rows}), date_trunc('day', now(), 'UTC') AS today
), keys AS (INSERT INTO order_keys (order_id, created_at, fingerprint)
    SELECT order_id, created_at, decode(md5(order_id::text), 'hex') FROM given RETURNING *)
INSERT INTO orders (order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
    policy_version, metadata, created_at, updated_at, version, fingerprint)
SELECT order_id, 'c-' || (random() * 5000)::int, 1500, 12, 'personal_loan', 'approved', 700, 'score_above_threshold',
    '[]', 'simulated-1', '1', '{{}}', created_at, created_at, 1, fingerprint FROM keys
"""


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


def fill_rows(place: Place, rows: int) -> None:
    """Orders that other runs have left in the database."""
    with closing(psycopg2.connect(place.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for drop, _ in indexes:
            cursor.execute(drop)
        for done in range(0, rows, _STEP):
            cursor.execute(_FILL.format(rows=min(_STEP, rows - done)))
            print(f"rows in orders: {min(done + _STEP, rows):,} of {rows:,} written", flush=True)
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, create in indexes:
            cursor.execute(create)
        cursor.execute("VACUUM ANALYZE")


def fill_ids(place: Place, ids: int) -> None:
    """Ids in each partition's RocksDB, behind its changelog's back: that is read only when they are gone."""
    folders = sorted(place.folder.glob("**/seen-*.db"))
    if not folders:
        raise SystemExit(f"creditstream: no RocksDB of `seen` under {place.folder}")
    for folder in folders:
        store = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.with_ttl(_TTL))
        for _ in range(0, ids // len(folders), _WRITES):
            batch = WriteBatch(raw_mode=True)
            for _ in range(min(_WRITES, ids // len(folders))):
                batch.put(os.urandom(16), os.urandom(16))
            store.write(batch)
        store.close()


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
    for head in ("what grows", "to", "CPU µs/order", "factor", "RSS MB"):
        table.add_column(head, justify="left" if head == "what grows" else "right")
    first: dict[str, list[float]] = {}
    found = []
    for case, measured in taken.items():
        rounds = [each.cpu_us for each in measured]
        ratios = zip(rounds, first.setdefault(case.row, rounds), strict=True)
        cpu, factor = statistics.median(rounds), statistics.median(ours / theirs for ours, theirs in ratios)
        rss = max(each.rss_mb for each in measured)
        table.add_row(case.row, case.size, f"{cpu:,.0f}", f"{factor:.2f}", f"{rss:,.0f}")
        found.append(
            {"row": case.row, "size": case.size, "cpu_us": cpu, "factor": factor, "rss_mb": rss, "rounds": rounds}
        )
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps({"machine": machine(), "growth": found}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
