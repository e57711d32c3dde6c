"""From 4 to 12 partitions while producers go on: nothing lost, nothing decided twice, no bureau query repeated."""

from datetime import UTC, datetime

import pytest

from creditstream.config.load import load_settings
from creditstream.errors import StartError
from creditstream.operations.grow.growth import grow, plan_growth
from creditstream.order.home_partition import home_partition
from creditstream.simulation.mix import make_mix
from devtools.programs import RiskApiProcess
from devtools.wait import wait_for
from schemas.status import decode_status
from tests.acceptance.test_kill import send_in_background
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics, run
from tests.support.product import audited, faust, settle

_UNDECIDED = "SELECT count(*) FROM orders WHERE status = 'under_review'"
#: A turn on orders-retry soon, and no circuit breaker that would keep orders from it.
_SETTINGS = {"retry_delay": 1, "risk_deadline": 3, "risk_attempt_timeout": 3, "risk_breaker_min_calls": 1_000_000}


def test_partitions_are_added_while_producers_go_on(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
) -> None:
    # Created now: about an order older than the window of `seen` PostgreSQL is asked anyway.
    decided, parked, later = (
        make_mix(count, 0, 0, 0, seed=seed, now=datetime.now(UTC)) for count, seed in ((300, 1), (40, 2), (600, 3))
    )
    workers = [start_worker(name=name, **_SETTINGS) for name in ("one", "two")]
    topics.produce("orders", [(None, line.value) for line in decided])
    settle(worker_environ, len(decided))
    calls = risk_api.journal()["calls"]

    risk_api.control(mode="reset")
    topics.produce("orders", [(None, line.value) for line in parked])
    wait_for(lambda: len(topics.consume_all("orders-retry")) >= len(parked), 60, "orders wait on orders-retry")

    with pytest.raises(StartError, match="2 workers are in group"):
        run(grow(load_settings(worker_environ), 12, wait=0, say=print))
    sending = send_in_background(topics, later)
    assert [worker.stop() for worker in workers] == [0, 0]
    failed = risk_api.journal()["calls"]
    risk_api.control(mode="ok")
    grown = faust(worker_environ, "grow", "--partitions", "12")
    assert grown.returncode == 0, grown
    print(grown.stdout)
    assert "from 4 to 12 partitions" in grown.stdout
    workers = [start_worker(name=name, **_SETTINGS) for name in ("one", "two", "three")]
    # Repeats, on any of twelve partitions, which the workers cannot take for replayed: only `seen` knows them.
    topics.produce("orders", [(None, line.value) for line in decided])
    sending.join()
    everything = len(decided) * 2 + len(parked) + len(later)
    settle(worker_environ, everything)
    wait_for(lambda: database.fetch(_UNDECIDED) == [(0,)], 60, "what waited on orders-retry is decided")
    report = audited(worker_environ)
    assert (report["orders"], report["duplicates"]) == (940, 300)
    assert risk_api.journal()["calls"] - failed <= len(parked) + len(later), "no repeat cost a bureau query"
    assert calls == len(decided)

    homes = {record.key: record.partition for record in topics.consume_all("order-status")}
    for record in topics.consume_all("order-status"):
        assert record.partition == homes[record.key], "all records of an order on one partition"
        assert record.partition == home_partition(decode_status(record.value or b"").order_id, 12)
    assert set(homes.values()) == set(range(12))
    with pytest.raises(StartError, match="cannot take any away"):
        run(plan_growth(load_settings(worker_environ), 4))
    assert run(grow(load_settings(worker_environ), 12, wait=0, say=print)) is None, "nothing to do a second time"
    assert all(worker.exit_code is None for worker in workers)
