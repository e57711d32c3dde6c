"""`make bench BENCH=operations`: what an empty disk, one more worker and more partitions cost."""

import argparse
import re
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report import save
from creditstream.config.load import load_settings
from creditstream.config.settings import Settings
from creditstream.kafka.publisher import Publisher
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from creditstream.simulation.mix import make_mix
from devtools.programs import RiskApiProcess, Worker
from devtools.stack.ports import free_port
from devtools.wait import wait_for
from tests.support.database import Database, cloned, migrated_template
from tests.support.kafka import Topics, run
from tests.support.product import audited, faust, settle
from tests.support.servers import Servers, open_servers

#: The worker with Faust's own recovery alone.
_WITHOUT = "import creditstream.kafka.bulk_load as b; b._WORTH_IT = 10**9; from faust.cli.faust import cli; cli()"
_GAPS = """
SELECT max(gap) FROM (
    SELECT extract(epoch FROM updated_at - lag(updated_at) OVER (ORDER BY updated_at)) AS gap
    FROM orders WHERE updated_at > %s
) AS gaps
"""


class Bench:
    """One stack; each measurement has topics and a database of its own."""

    def __init__(self, servers: Servers, template: str, folder: Path) -> None:
        self.servers, self.template, self.folder = servers, template, folder
        self.risk = RiskApiProcess(free_port(), folder)
        self.risk.wait_until_ready()

    def environ(self, topics: Topics, database: Database, name: str) -> dict[str, str]:
        return {
            "CREDITSTREAM_KAFKA_BROKERS": self.servers.brokers,
            "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": str(self.servers.replication_factor),
            "CREDITSTREAM_TOPIC_PREFIX": topics.prefix,
            "CREDITSTREAM_GROUP": f"{topics.prefix}workers",
            "CREDITSTREAM_POSTGRES_DSN": database.dsn,
            "CREDITSTREAM_REDIS_URL": "",
            "CREDITSTREAM_RISK_URL": self.risk.url,
            "CREDITSTREAM_DATA_DIR": str(self.folder / f"{topics.prefix}{name}"),
            "CREDITSTREAM_WEB_PORT": str(free_port()),
        }

    def worker(self, environ: dict[str, str], name: str, command: list[str] | None = None) -> Worker:
        worker = Worker(environ, self.folder, f"{environ['CREDITSTREAM_TOPIC_PREFIX']}{name}", command=command)
        worker.wait_until_ready(300)
        return worker

    def recovery(self, keys: int) -> None:
        topics = Topics(self.servers)
        topics.create()
        run(marks(topics.settings, topics.name("seen-changelog"), keys))
        with cloned(self.servers.postgres_dsn, self.servers.replica_dsn, self.template) as database:
            without = [sys.executable, "-c", _WITHOUT, "-A", "creditstream", "worker"]
            for name, command in (("in-bulk", None), ("by-faust", without)):
                started = time.monotonic()
                worker = self.worker(self.environ(topics, database, name), name, command)
                ready = time.monotonic() - started
                loaded = re.findall(r"seen: .*changelog in.*", worker.log())
                print(f"empty disk, {keys} keys, {name}: ready after {ready:.1f} s; {loaded}", flush=True)
                if not command:
                    write_recovery(worker.log())
                worker.stop()
        topics.delete()

    def one_more(self, seconds: int, rate: int) -> None:
        topics = Topics(self.servers)
        topics.create()
        lines = make_mix(seconds * rate, 0, 0, 0, seed=9, now=datetime.now(UTC))
        with cloned(self.servers.postgres_dsn, self.servers.replica_dsn, self.template) as database:
            workers = [self.worker(self.environ(topics, database, "one"), "one")]
            started = time.monotonic()
            added = None
            for number in range(seconds):
                part = lines[number * rate : (number + 1) * rate]
                topics.produce("orders", [(None, line.value) for line in part])
                if number == seconds // 3:
                    [(added,)] = database.fetch("SELECT now()")
                    environ = self.environ(topics, database, "two")
                    workers.append(Worker(environ, self.folder, f"{topics.prefix}two"))
                time.sleep(max(0.0, started + number + 1 - time.monotonic()))
            settle(self.environ(topics, database, "x"), len(lines))
            wait_for(lambda: "at work on partitions" in workers[1].log(), 60, "the second worker has its share")
            audited(self.environ(topics, database, "x"))
            [(gap,)] = database.fetch(_GAPS, (added,))
            print(f"one more worker at {rate} orders/s: longest time without any decision {gap:.2f} s", flush=True)
            for worker in workers:
                worker.stop()
        topics.delete()

    def growth(self, orders: int) -> None:
        topics = Topics(self.servers)
        topics.create()
        lines = make_mix(orders, 0, 0, 0, seed=10, now=datetime.now(UTC))
        with cloned(self.servers.postgres_dsn, self.servers.replica_dsn, self.template) as database:
            environ = self.environ(topics, database, "one")
            worker = self.worker(environ, "one")
            topics.produce("orders", [(None, line.value) for line in lines])
            settle(environ, orders)
            stopped = time.monotonic()
            worker.stop()
            drained = time.monotonic()
            print(faust(environ, "grow", "--partitions", "12").stdout.strip())
            grown = time.monotonic()
            self.worker(environ, "one").stop()
            ready = time.monotonic()
            print(
                f"growth with {orders} orders: stop {drained - stopped:.1f} s, grow {grown - drained:.1f} s, "
                f"start until ready {ready - grown:.1f} s",
                flush=True,
            )
            audited(environ)
        topics.delete()


def write_recovery(log: str) -> None:
    """bench/results/recovery.json, from what the worker says of its table."""
    loaded = re.search(r"seen: (\d+) records loaded from its changelog in ([\d.]+) s", log)
    if loaded is None:
        raise SystemExit("creditstream: the worker's log has no word of a bulk load of `seen`")
    save("recovery", keys=int(loaded[1]), seconds=float(loaded[2]))


async def marks(settings: Settings, topic: str, keys: int) -> None:
    publisher = await Publisher.open(load_settings({"CREDITSTREAM_KAFKA_BROKERS": settings.kafka_brokers}))
    try:
        for _ in range(0, keys, 10_000):
            records: dict[int, list[Any]] = defaultdict(list)
            for one in (uuid.uuid4() for _ in range(10_000)):
                records[home_partition(one, 4)].append(Outgoing(one.bytes, b"m" * 16))
            await publisher.publish(topic, records)
    finally:
        await publisher.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench BENCH=operations", description=__doc__)
    parser.add_argument("--keys", type=int, default=300_000)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--only", choices=("recovery", "one-more", "growth"))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_servers() as servers,
        migrated_template(servers.postgres_dsn) as template,
    ):
        bench = Bench(servers, template, Path(folder))
        try:
            if options.only in (None, "recovery"):
                bench.recovery(options.keys)
            if options.only in (None, "one-more"):
                bench.one_more(30, 300)
            if options.only in (None, "growth"):
                bench.growth(options.orders)
        finally:
            bench.risk.discard()


if __name__ == "__main__":
    main()
