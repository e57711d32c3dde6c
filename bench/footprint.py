"""What an order costs the servers: `PYTHONPATH=. .venv/bin/python bench/footprint.py` (docs/reference/sizes.md)."""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.operations import Bench
from creditstream.simulation.mix import make_mix
from tests.support.database import Database, cloned, migrated_template
from tests.support.kafka import Topics
from tests.support.product import audited, settle
from tests.support.servers import local_servers

_TICK = 0.1
_TOPICS = ("orders", "orders-by-id", "order-status", "seen-changelog")


class Reading(NamedTuple):
    """Seconds of CPU, bytes and counts since the servers began."""

    worker: float
    postgres: float
    kafka: float
    transactions: int
    wal: int
    rows: int
    topics: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[50, 500, 0], help="orders/s; 0: all at once")
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--burst", type=int, default=20_000, help="orders when all come at once")
    given = parser.parse_args()
    with local_servers() as servers, migrated_template(servers.postgres_dsn) as template:
        bench = Bench(servers, template, Path(tempfile.mkdtemp()))
        bench.risk.control(latency_ms=50)
        for rate in given.rates:
            measure(bench, rate, rate * given.seconds or given.burst)
        bench.risk.discard()


def measure(bench: Bench, rate: int, orders: int) -> None:
    topics = Topics(bench.servers)
    topics.create()
    lines = make_mix(orders + 200, 0, 0, 0, seed=rate, now=datetime.now(UTC))
    with cloned(bench.servers.postgres_dsn, bench.servers.replica_dsn, bench.template) as database:
        environ = bench.environ(topics, database, "one")
        worker = bench.worker(environ, "one")
        topics.produce("orders", [(None, line.value) for line in lines[:200]])
        settle(environ, 200)
        before = read(worker.pid, topics.prefix, database)
        send(topics, [line.value for line in lines[200:]], rate)
        settle(environ, orders + 200)
        time.sleep(2)  # until the statistics of PostgreSQL hold the last transactions
        after = read(worker.pid, topics.prefix, database)
        audited(environ)
        report(rate, orders, before, after)
        worker.stop()
    topics.delete()


def send(topics: Topics, values: list[bytes], rate: int) -> None:
    size = round(rate * _TICK) or len(values)
    started = time.monotonic()
    for tick, first in enumerate(range(0, len(values), size)):
        time.sleep(max(0.0, started + tick * _TICK - time.monotonic()))
        topics.produce("orders", [(None, value) for value in values[first : first + size]])


def read(worker: int, prefix: str, database: Database) -> Reading:
    children = psutil.Process().children(recursive=True)
    [java] = [each for each in children if "kafka.Kafka" in each.cmdline()]
    postmaster = next(each for each in children if is_primary(each))
    data = Path(java.cmdline()[-1]).parent / "data"
    [(wal,)] = database.fetch("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
    [(transactions,)] = database.fetch("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    [(rows,)] = database.fetch("SELECT pg_database_size(current_database())")
    return Reading(
        worker=cpu(psutil.Process(worker)),
        postgres=sum(map(cpu, (postmaster, *postmaster.children()))),
        kafka=cpu(java),
        transactions=int(transactions),
        wal=int(wal),
        rows=int(rows),
        topics={name: stored(data, f"{prefix}{name}") for name in _TOPICS},
    )


def is_primary(process: psutil.Process) -> bool:
    """The replica has a postmaster too, and each has children of the same name."""
    parent = process.parent()
    below = parent is not None and parent.name() == "postgres"
    return process.name() == "postgres" and not below and not (Path(process.cwd()) / "standby.signal").exists()


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def stored(data: Path, topic: str) -> int:
    return sum(file.stat().st_size for file in data.glob(f"{topic}-[0-9]*/*.log"))


def report(rate: int, orders: int, before: Reading, after: Reading) -> None:
    def each(name: str) -> Any:
        return (getattr(after, name) - getattr(before, name)) / orders

    print(f"{rate or 'all'} orders/s, {orders} orders; of each:")
    for name in ("worker", "postgres", "kafka"):
        print(f"  {name}: {each(name) * 1e6:,.0f} µs of CPU")
    print(f"  {each('transactions'):.3f} transactions, {each('wal'):,.0f} bytes of WAL, {each('rows'):,.0f} of rows")
    for name in _TOPICS:
        print(f"  {name}: {(after.topics[name] - before.topics[name]) / orders:,.0f} bytes", flush=True)


if __name__ == "__main__":
    main()
