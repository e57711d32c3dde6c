"""`make bench BENCH=audits`: audits within one load, each of which must be clean; then what an audit must find."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from bench.report import save
from devtools.programs import RiskApiProcess, Worker, clean_environ, faust_command
from devtools.stack.ports import free_port
from tests.support.cloned import migrated_template
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.planted import plant_undecided
from tests.support.product import order_line, settings_for, settle
from tests.support.servers import open_servers, own_place

#: Of the risk API's answers: some orders wait on `orders-retry` while the audits run.
_ERRORS = 0.1
_WORKERS = 2


class Scene:
    """Workers on topics and a database of their own."""

    def __init__(self, given: ExitStack, folder: Path) -> None:
        servers = given.enter_context(open_servers(given.enter_context(own_place()), 0))
        template = given.enter_context(migrated_template(servers.postgres_dsn, servers.replica_dsn))
        self.database: Database = given.enter_context(template.cloned())
        self.topics = Topics(servers)
        self.topics.create()
        given.callback(self.topics.delete)
        self.risk = RiskApiProcess(free_port(), folder)
        given.callback(self.risk.discard)
        self.risk.wait_until_ready()
        self.environ = settings_for(servers, self.database, self.topics, self.risk)
        self.environ["CREDITSTREAM_DATA_DIR"] = str(folder / "audit")
        self.workers = [self._worker(folder, f"worker{number}") for number in range(_WORKERS)]
        for worker in self.workers:
            given.callback(worker.discard)
            worker.wait_until_ready()

    def _worker(self, folder: Path, name: str) -> Worker:
        own = {"CREDITSTREAM_DATA_DIR": str(folder / name), "CREDITSTREAM_WEB_PORT": str(free_port())}
        return Worker({**self.environ, **own, "CREDITSTREAM_RETRY_DELAY": "5"}, folder, name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=audits", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=300, help="orders a second")
    parser.add_argument("--audits", type=int, default=20)
    options = parser.parse_args()
    with ExitStack() as given:
        scene = Scene(given, Path(given.enter_context(tempfile.TemporaryDirectory())))
        seconds, records = options.minutes * 60, int(options.minutes * 60 * options.rate)
        found = under_load(scene, seconds, records, options)
        scene.risk.control(error_rate=0.0)
        settle(scene.environ, records)
        expect("at rest", audit(scene.environ), clean=True)
        blind(scene)
    save("audits", records=records, audits=found)
    return 0


def under_load(scene: Scene, seconds: float, records: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    scene.risk.control(error_rate=_ERRORS)
    mixed = records // 50
    kinds = ("--duplicates", str(mixed), "--conflicts", str(mixed), "--malformed", str(mixed))
    count = str(records - 3 * mixed)
    command = faust_command("load", "--rate", str(options.rate), "--count", count, *kinds)
    found, begun = [], time.monotonic()
    with subprocess.Popen(command, env=clean_environ(scene.environ)) as load:
        for number in range(options.audits):
            time.sleep(max(0.0, begun + seconds * number / options.audits - time.monotonic()))
            found.append(expect(f"audit {number + 1}", audit(scene.environ), clean=True))
        if load.wait():
            raise SystemExit("creditstream: the load failed; its words are above")
    return found


def blind(scene: Scene) -> None:
    """An order that nobody tries again, and records that nobody ever reads."""
    plant_undecided(scene.topics, scene.database, uuid4(), "risk_unavailable", datetime.now(UTC) - timedelta(days=60))
    report = expect("an order under review for 60 days", audit(scene.environ), clean=False)
    if report["lost"] != 1:
        raise SystemExit(f"creditstream: it found {report}")
    for worker in scene.workers:
        worker.stop()
    scene.topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(10)])
    scene.topics.remove_all("orders")
    report = expect("10 records that were removed unread", audit(scene.environ), clean=False)
    if report["lost"] != 11:
        raise SystemExit(f"creditstream: it found {report}")


def audit(environ: Mapping[str, str]) -> dict[str, Any]:
    """The report, with the seconds that it took."""
    begun = time.monotonic()
    command = faust_command("audit", "--json")
    done = subprocess.run(command, env=clean_environ(environ), capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"creditstream: the audit ended with {done.returncode}: {done.stderr}")
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    return {**report, "seconds": time.monotonic() - begun}


def expect(what: str, report: dict[str, Any], *, clean: bool) -> dict[str, Any]:
    numbers = {name: report[name] for name in ("records", "on_the_way", "under_review", "lost", "divergent")}
    print(f"{what}: {'clean' if report['clean'] else 'NOT clean'} in {report['seconds']:.1f} s: {numbers}", flush=True)
    if report["clean"] != clean:
        raise SystemExit(f"creditstream: {report['examples']}")
    return report


if __name__ == "__main__":
    sys.exit(main())
