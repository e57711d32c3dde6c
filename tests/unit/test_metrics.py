"""The catalogue, the instruments, and what goes out to Prometheus and DogStatsD: bounded whatever is counted."""

import ast
import asyncio
from collections import Counter as Count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP
from prometheus_client.parser import text_string_to_metric_families

from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.kafka.offsets import Progress
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, ORDERS_RETRY
from creditstream.kafka.watchdog import Watchdog
from creditstream.metrics import catalogue
from creditstream.metrics.catalogue import CATALOGUE
from creditstream.metrics.dogstatsd import DogStatsD
from creditstream.metrics.instruments import Instruments, Reading
from creditstream.metrics.metric import OTHER
from creditstream.metrics.prometheus import Exposition
from creditstream.order.brakes import Brakes
from creditstream.order.flights import Flights
from creditstream.risk.guarded import make_gate
from creditstream.worker.probes import Probes
from creditstream.worker.readings import Readings, partition_values
from tests.support.dogstatsd import read

ROOT = Path(__file__).resolve().parents[2]
_PARTITIONS = 1_000


def readings(partitions: int = 4) -> Readings:
    """Of a worker with every partition of every source topic."""
    progress = {
        TP(f"t-{topic}", number): Progress(0)
        for topic in (ORDERS, ORDERS_BY_ID, ORDERS_RETRY)
        for number in range(partitions)
    }
    pipeline = SimpleNamespace(
        flights=Flights(Brakes(), Instruments()),
        waiting=0,
        unpublished=0,
        unsent=0,
        brakes=SimpleNamespace(notes=list, too_many_letters=lambda: "letters", taken_back=str, too_many_unusable=str),
    )
    runtime = SimpleNamespace(
        metrics=Instruments(),
        pipeline=pipeline,
        filling=SimpleNamespace(missing=3),
        settings=Settings(),
        liveness=SimpleNamespace(watchdog=Watchdog[Any](1.0), stuck=[], hanging=[]),
        risk=SimpleNamespace(gate=make_gate(Settings())),
        web=SimpleNamespace(cache=SimpleNamespace(lookups=Count()), dashboard=SimpleNamespace(primary_lookups=Count())),
        probes=SimpleNamespace(replica_lag=lambda: 0.5, months_ahead=2),
    )
    consumer = SimpleNamespace(progress=progress, highwater=lambda tp: 7, committed_at=0.0)
    return Readings(cast(Any, runtime), lambda: cast(Any, consumer), "t-")


def test_a_metric_is_named_by_its_unit_and_explained() -> None:
    for metric in CATALOGUE:
        assert metric.meaning and metric.name.replace("_", "").isalnum(), metric.name
        assert metric.name.endswith(f"_{metric.unit}") if metric.unit else metric.name.endswith(("_state", "_info"))
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    assert catalogue.LAG_RECORDS.labels[0].values == (ORDERS, ORDERS_BY_ID, ORDERS_RETRY)


def test_a_worker_reads_the_whole_catalogue_once() -> None:
    assert sorted(reading.metric.name for reading in readings()()) == sorted(metric.name for metric in CATALOGUE)


def test_series_are_bounded_with_a_thousand_partitions_and_unknown_words() -> None:
    source = readings(_PARTITIONS)
    metrics = source._runtime.metrics
    for number in range(10_000):
        metrics.letters.add(f"reason-{number}")
        metrics.finished.add(f"outcome-{number}")
        metrics.on_call(f"outcome-{number}", 0.1)
    series = [(reading.metric, labels) for reading in source() for labels in reading.values]
    assert len(series) < 3 * 3 * _PARTITIONS + 150
    for metric, labels in series:
        assert len(labels) == len(metric.labels)
        for label, value in zip(metric.labels, labels, strict=True):
            assert not label.values or value in (*label.values, OTHER), (metric.name, value)
    assert metrics.letters.read().values[OTHER,] == 10_000


def test_every_reason_in_the_source_is_in_the_catalogue() -> None:
    """A new reason of a dead letter would be counted as `other`."""
    sources = [path.read_text() for path in (ROOT / "schemas").glob("*order.py")]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    raised = {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "InvalidOrder" and isinstance(call.args[0], ast.Constant)
    }
    assert len(raised) > 8
    assert raised <= set(catalogue.LETTERS.labels[0].values)


def test_prometheus_reads_what_was_counted() -> None:
    metrics = Instruments()
    metrics.letters.add("conflict", by=3)
    for seconds in (0.001, 0.2, 99.0):
        metrics.on_call("scored", seconds)
    body, content_type = Exposition(metrics.read).render("text/plain")
    assert content_type.startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["creditstream_dead_letter_records_total", "conflict"] == 3
    assert samples["creditstream_dead_letter_records_total", "empty"] == 0
    assert samples["creditstream_risk_call_seconds_bucket", "0.005"] == 1
    assert samples["creditstream_risk_call_seconds_bucket", "0.25"] == 2
    assert samples["creditstream_risk_call_seconds_bucket", "+Inf"] == 3
    assert samples["creditstream_risk_call_seconds_count",] == 3
    assert round(samples["creditstream_risk_call_seconds_sum",], 3) == 99.201


def test_datadog_gets_what_was_added_since_the_last_report() -> None:
    metrics = Instruments()
    reporter = DogStatsD(lambda: [*metrics.read(), Reading(catalogue.IN_FLIGHT, {(): 12})], ["group:g"])

    def report() -> dict[tuple[str, str], Any]:
        points = [read(line) for datagram in reporter.datagrams() for line in datagram.decode().split("\n")]
        assert all(point.tags["group"] == "g" for point in points)
        return {(point.name, point.tags.get("reason", "")): point for point in points}

    metrics.letters.add("conflict", by=3)
    assert report()["creditstream.dead_letter_records", "conflict"].value == 3
    metrics.letters.add("conflict")
    for _ in range(8):
        metrics.on_call("scored", 0.03)
    points = report()
    assert points["creditstream.dead_letter_records", "conflict"].value == 1
    call = points["creditstream.risk_call_seconds", ""]
    assert (call.kind, call.value, round(1 / call.rate)) == ("d", 0.0375, 8)
    assert points["creditstream.in_flight_orders", ""].kind == "g"
    assert ("creditstream.risk_call_seconds", "") not in report(), "nothing new"


def test_lag_is_counted_from_the_oldest_record_that_is_not_done() -> None:
    tp = TP(ORDERS, 0)
    progress = Progress(10)
    for offset in range(10, 20):
        progress.admit(offset)
        if offset in (10, 15):  # two batches
            progress.stamp(offset, offset * 1_000)

    def values() -> tuple[Any, ...]:
        found = partition_values({tp: progress}, {tp: 20}, {tp: (ORDERS, "0")}, now=100.0)
        return tuple(each[ORDERS, "0"] for each in found)

    assert values() == (10, 90.0, 10)
    for offset in range(10, 15):
        progress.finish(offset)
    assert values() == (5, 85.0, 5)
    for offset in range(15, 20):
        progress.finish(offset)
    assert values() == (0, 0.0, 0)


class _Server:
    """A primary and its replica; `shown` is what the replica has."""

    def __init__(self) -> None:
        self.log, self.shown, self.away = 5, 5, False

    async def months_ahead(self) -> int:
        return 2

    async def position(self) -> str:
        return str(self.log)

    async def has(self, position: str) -> bool:
        if self.away:
            raise StoreUnavailable("away")
        return self.shown >= int(position)

    async def close(self) -> None: ...


def test_the_replicas_lag_grows_until_it_has_what_the_primary_had() -> None:
    now = 0.0
    server = _Server()

    async def open_replica() -> _Server:
        return server

    probes = Probes(server, open_replica, clock=lambda: now)
    assert probes.replica_lag is not None
    asyncio.run(probes.run_once())
    assert (probes.replica_lag(), probes.months_ahead) == (0.0, 2)
    server.log, server.away = 9, True
    asyncio.run(probes.run_once())
    now = 40.0
    assert probes.replica_lag() == 40.0, "also while nobody asks"
    server.away, server.shown = False, 9
    asyncio.run(probes.run_once())
    assert probes.replica_lag() == 40.0, "it took so long"
    asyncio.run(probes.run_once())
    assert probes.replica_lag() == 0.0
    assert Probes(server, None).replica_lag is None
