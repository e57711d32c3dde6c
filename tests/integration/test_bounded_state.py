"""`seen` is bounded by its window: what lies beyond it PostgreSQL answers, and an empty disk is filled in bulk."""

import re
import uuid
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition
from rocksdict import AccessType, CompactOptions, Options, Rdict

from creditstream.config.settings import Settings
from creditstream.kafka.admin import Cluster
from creditstream.kafka.client import open_admin
from creditstream.order.home_partition import home_partition
from devtools.programs import RiskApiProcess
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.kafka import Topics, run
from tests.support.product import audited, order_line, settle
from tests.support.web import ask

_BULK = 5_000


def test_a_repeat_from_beyond_the_window_is_still_a_repeat(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    lines = [order_line(uuid.uuid4(), created_at="2025-01-01T00:00:00Z").encode() for _ in range(50)]
    worker = start_worker()
    topics.produce("orders", [(None, line) for line in lines])
    settle(worker_environ, 50)
    assert worker.stop() == 0
    beyond(topics)
    others = [uuid.uuid4() for _ in range(_BULK)]
    for partition in range(4):
        marks = [(one.bytes, b"m" * 16) for one in others if home_partition(one, 4) == partition]
        topics.produce("seen-changelog", marks, partition=partition)
    worker = start_worker(name="empty disk")
    topics.produce("orders", [(None, line) for line in lines])
    settle(worker_environ, 100)
    assert risk_api.journal()["calls"] == 50, "PostgreSQL is asked about an order older than the window, not the bureau"
    assert audited(worker_environ)["duplicates"] == 50
    [loaded] = re.findall(r"seen: (\d+) records loaded", worker.log())
    assert int(loaded) == _BULK
    topics.produce("orders", [(None, order_line(others[0]).encode())])
    ready = worker.url + "/health/ready"
    wait_for(
        lambda: "run `faust -A creditstream restore`" in ask(ready).body.decode(), 60, "a mark without a row counts"
    )


def test_a_disk_that_is_damaged_is_wiped_and_filled_again(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    topics: Topics,
    risk_api: RiskApiProcess,
    tmp_path: Path,
) -> None:
    lines = [order_line(uuid.uuid4()).encode() for _ in range(50)]
    worker = start_worker(name="disk")
    topics.produce("orders", [(None, line) for line in lines])
    settle(worker_environ, 50)
    assert worker.stop() == 0
    manifests = list(tmp_path.glob("disk/**/MANIFEST-*"))
    assert len(manifests) == 4, "one table of four partitions"
    for manifest in manifests:
        manifest.write_bytes(b"garbage")
    worker = start_worker(name="disk")
    topics.produce("orders", [(None, line) for line in lines])
    settle(worker_environ, 100)
    assert risk_api.journal()["calls"] == 50
    assert worker.log().count("is damaged on this disk, wiped") == 4
    assert audited(worker_environ)["duplicates"] == 50


def beyond(topics: Topics) -> None:
    """What the changelog's retention does once the window is over."""

    async def delete(settings: Settings) -> None:
        admin = await open_admin(settings)
        try:
            records = topics_ends(await topics.aconsume_all("seen-changelog"), topics.name("seen-changelog"))
            await Cluster(admin).delete_before(records, "compact,delete")
        finally:
            await admin.close()

    run(delete(topics.settings))


def topics_ends(records: list[Any], name: str) -> dict[TopicPartition, int]:
    return {TopicPartition(name, each.partition): each.offset + 1 for each in records}


def test_rocksdb_forgets_what_is_older_than_the_window(tmp_path: Path) -> None:
    """As tables/seen.py opens it: a time to live, which compaction heeds."""
    options = Options(raw_mode=True)
    table = Rdict(str(tmp_path / "seen"), options, access_type=AccessType.with_ttl(1))
    table[b"old"] = b"mark"

    def is_gone() -> bool:
        table.compact_range(None, None, CompactOptions())
        return table.get(b"old") is None

    table.flush()
    wait_for(is_gone, 60, "compaction removes it")
    table.close()
