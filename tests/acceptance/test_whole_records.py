"""Whatever Kafka accepts in any part of a record is an order or a dead letter, and nothing stops (ADR 0017).

The cases are those of public reports; tests/corpus has many more.
"""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from creditstream.order.home_partition import home_partition
from devtools.programs import Worker
from devtools.wait import wait_for, wait_for_async
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Sent, Topics, run
from tests.support.product import audited, faust, order_line, settle

_OURS = (
    *("x-attempts", "x-first-failed-at", "x-next-attempt-at", "x-replayed", "x-original-key", "x-original-offset"),
    *("x-original-topic", "x-original-partition", "x-original-timestamp", "x-error-class", "x-forgotten-by"),
)
_FAR = 2**63 - 1
_TEN_MB = 10_000_000


class Case(NamedTuple):
    """What is sent, and compressed how; `reason`: of its letter, None: it is an order."""

    sent: Sent
    reason: str | None = None
    codec: str | None = None


def order(away: bool = False, customer: str = "c-1", **parts: Any) -> Sent:
    order_id = uuid4()
    home = home_partition(order_id, 4)
    value = order_line(order_id, customer_id=customer).encode()
    return Sent(value, partition=(home + away) % 4, **parts)


def cases() -> list[Case]:
    """Each with an id of its own."""
    found = [Case(order(away, headers=[("traceparent", None)])) for away in (False, True)]
    found += [Case(order(away, headers=[(name, None)])) for name in _OURS for away in (False, True)]
    found += [Case(order(away, headers=[(name, b"\xff\x0099")])) for name in _OURS for away in (False, True)]
    found += [Case(order(True, headers=[("x-attempts", b"99"), ("x-first-failed-at", b"9" * 5_000)]))]
    found += [Case(order(False, headers=[("", b""), ("ü", b"\xff"), ("a", b"1"), ("a", None)] * 50))]
    found += [
        Case(order(away, timestamp_ms=ms)) for ms in (0, 1, 1_764_400_000_000_000, _FAR) for away in (False, True)
    ]
    found += [Case(order(key=key)) for key in (b"", b"\xff" * 3, b"k" * 100_000)]
    found += [Case(order(headers=[("big", b"h" * 300_000)]), reason="too_large")]
    found += [Case(order(headers=[("", None)] * 200_000), "too_large", "gzip")]
    found += [Case(Sent(b"a" * _TEN_MB), "too_large", "gzip")]
    found += [Case(Sent(b"no order", headers=[("x-attempts", b"99"), ("foo", None)]), reason="not_json")]
    return found


@pytest.fixture
def _any_time(topics: Topics) -> None:
    """As on brokers before Kafka 4: any timestamp is taken."""
    far = {"message.timestamp.before.max.ms": str(_FAR), "message.timestamp.after.max.ms": str(_FAR)}
    run(_configure(topics, far | {"max.message.bytes": str(6 * 1024 * 1024)}))


async def _configure(topics: Topics, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.settings.kafka_brokers)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.name("orders"), config)])
    finally:
        await admin.close()


def letters(topics: Topics) -> dict[tuple[int, int], Any]:
    found = {}
    for letter in topics.consume_all("orders-dead-letter"):
        headers = {name: value and value.decode(errors="replace") for name, value in letter.headers}
        found[int(headers["x-original-partition"] or 0), int(headers["x-original-offset"] or 0)] = (headers, letter)
    return found


@pytest.mark.usefixtures("_any_time")
def test_every_record_has_its_outcome_and_every_tool_reads_it(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    worker, sent = start_worker(), cases()
    placed: list[tuple[int, int]] = []
    placed += [topics.send("orders", [case.sent], compression_type=case.codec)[0] for case in sent]
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        placed += topics.send(
            "orders", [order(away) for away in (False, True) for _ in range(50)], compression_type=codec
        )
    settle(worker_environ, len(placed))
    found = letters(topics)
    for place, case in zip(placed, sent, strict=False):
        reason = found[place][0]["x-error-class"] if place in found else None
        assert reason == case.reason, case.sent._replace(value=(case.sent.value or b"")[:60])
    assert len(found) == sum(case.reason is not None for case in sent)
    [cut] = [letter for headers, letter in found.values() if headers.get("x-truncated-from") == str(_TEN_MB)]
    assert cut.value == b"a" * len(cut.value) and len(cut.value) > 1_000_000
    [named] = [headers for headers, letter in found.values() if letter.value == b"no order"]
    assert (named["x-producer-x-attempts"], named["x-attempts"], named["foo"]) == ("99", "1", None)
    assert database.fetch("SELECT count(*) FROM orders WHERE status = 'under_review'") == [(0,)]
    strangers = [Sent(b"no order", headers=[("foo", None)]), Sent(None, b"", headers=[("x-last-failed-at", None)])]
    topics.send("orders-dead-letter", strangers)
    tools_work(worker_environ)
    at_rest(worker)


def tools_work(environ: dict[str, str]) -> None:
    audited(environ)
    for command in (("list", "--json"), ("show",), ("replay", "--all", "--dry-run")):
        done = faust(environ, "dlq", *command)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    done = faust(environ, "forget", "--customer", "c-1", "--dry-run")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def at_rest(worker: Worker) -> None:
    """It lives, is ready, and nothing is left to do."""

    def lags() -> list[float]:
        lines = [line for line in worker.get("/metrics").splitlines() if line.startswith("creditstream_lag_records{")]
        return [float(line.rpartition(" ")[2]) for line in lines]

    wait_for(lambda: (found := lags()) and not any(found), what="no partition has a lag")
    assert worker.exit_code is None
    assert worker.get("/health/ready")["status"] == "ready"
    assert "Traceback" not in worker.log()


def test_what_a_producer_aborted_never_existed_and_a_marker_is_no_work(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    worker = start_worker(stuck_after=3)
    kept, dropped = uuid4(), uuid4()
    run(_transactions(topics, {kept: True, dropped: False}))
    wait_for(lambda: database.fetch("SELECT order_id FROM orders"), what="the committed one is decided")
    at_rest(worker)
    assert database.fetch("SELECT order_id::text FROM orders") == [(str(kept),)]
    assert audited(worker_environ)["records"] == 1
    wait_for(lambda: "stuck" not in str(worker.get("/health/live")), what="the watchdog has looked")
    worker.stop()
    again = start_worker()
    at_rest(again)


def test_a_transaction_that_hangs_is_told_by_name_and_no_restart_is_asked_for(
    start_worker: StartWorker, topics: Topics, database: Database
) -> None:
    worker, behind = start_worker(stuck_after=2), uuid4()
    where = f"{topics.name('orders')}[{home_partition(behind, 4)}]"

    async def told() -> bool:
        return f"no progress for 2 s: {where}: a transaction that its producer does not end" in worker.log()

    async def hang() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=topics.settings.kafka_brokers, transactional_id=topics.prefix + "hangs"
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            value = order_line(behind).encode()
            await producer.send_and_wait(topics.name("orders"), value, partition=home_partition(behind, 4))
            await wait_for_async(told, 30, "the watchdog names it")
            assert worker.get("/health/live") == {"status": "live"}
            notes = worker.get("/health/ready")["notes"]
            assert any(note.startswith(where) for note in notes), notes
            assert "creditstream_stuck_partitions 1.0" in worker.get("/metrics")
            await producer.commit_transaction()
        finally:
            await producer.stop()

    run(hang())
    wait_for(lambda: database.fetch("SELECT 1 FROM orders"), what="what it hid is decided")
    wait_for(lambda: not worker.get("/health/ready")["notes"], what="and nothing is said of it any more")


async def _transactions(topics: Topics, orders: dict[UUID, bool]) -> None:
    """One for each order, committed or not."""
    producer = AIOKafkaProducer(bootstrap_servers=topics.settings.kafka_brokers, transactional_id=topics.prefix + "tx")
    await producer.start()
    try:
        for order_id, is_kept in orders.items():
            await producer.begin_transaction()
            home = home_partition(order_id, topics.partitions)
            await producer.send_and_wait(topics.name("orders"), order_line(order_id).encode(), partition=home)
            await (producer.commit_transaction() if is_kept else producer.abort_transaction())
    finally:
        await producer.stop()
