"""What is read from the worker's parts at the moment of a scrape: nothing of it is counted a second time on the way."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.filling import Filling
from creditstream.kafka.offsets import Progress
from creditstream.metrics import catalogue
from creditstream.metrics.instruments import Distribution, Instruments, Labels, Reading
from creditstream.metrics.metric import Metric
from creditstream.order.pipeline import Pipeline
from creditstream.risk.guarded import Gate, GuardedRisk
from creditstream.version import VERSION
from creditstream.web.assembly import WebParts
from creditstream.worker.liveness import Liveness
from creditstream.worker.probes import Probes


class Running(Protocol):
    """`creditstream.worker.runtime.Runtime`, started."""

    settings: Settings
    metrics: Instruments
    pipeline: Pipeline
    filling: Filling
    risk: GuardedRisk
    web: WebParts
    probes: Probes
    liveness: Liveness


class Partitions(Protocol):
    """What this worker has of the topics: `creditstream.kafka.consumer.InOrderConsumer`."""

    @property
    def progress(self) -> Mapping[TP, Progress]: ...

    @property
    def committed_at(self) -> float: ...

    def highwater(self, tp: TP) -> int: ...


class Readings:
    """Reads a running worker. Called by each scrape."""

    def __init__(self, runtime: Running, consumer: Callable[[], Partitions], prefix: str) -> None:
        """`consumer` is asked each time; `prefix`: of the topics' names, left out of the labels."""
        self._runtime, self._consumer, self._prefix = runtime, consumer, prefix

    def __call__(self) -> list[Reading]:
        runtime = self._runtime
        return [
            *runtime.metrics.read(),
            *self._partitions(),
            *_pipeline(runtime),
            *_risk(runtime.risk.gate),
            *_services(runtime),
            _one(catalogue.CPU, time.process_time()),
            Reading(catalogue.BUILD, {(VERSION,): 1}),
        ]

    def _partitions(self) -> Iterator[Reading]:
        consumer = self._consumer()
        progress = dict(consumer.progress)
        ends = {tp: max(consumer.highwater(tp) or 0, each.expected) for tp, each in progress.items()}
        labels = {tp: (tp.topic.removeprefix(self._prefix), str(tp.partition)) for tp in progress}
        now = self._runtime.metrics.now()
        lag, seconds, unfinished = partition_values(progress, ends, labels, now)
        yield Reading(catalogue.LAG_RECORDS, lag)
        yield Reading(catalogue.LAG_SECONDS, seconds)
        yield Reading(catalogue.UNFINISHED, unfinished)
        yield _one(catalogue.OWNED, len(progress))
        behind = any(each.to_commit for each in progress.values())
        yield _one(catalogue.COMMIT_AGE, time.monotonic() - consumer.committed_at if behind else 0)


Values = dict[Labels, float | Distribution]


def partition_values(
    progress: Mapping[TP, Progress], ends: Mapping[TP, int], labels: Mapping[TP, Labels], now: float
) -> tuple[Values, Values, Values]:
    """PURE: lag in records, lag in seconds, unfinished records, by topic and partition."""
    lag: Values = {}
    seconds: Values = {}
    unfinished: Values = {}
    for tp, each in progress.items():
        records = lag[labels[tp]] = max(0, ends[tp] - each.position)
        oldest = each.oldest_ms() if records else None
        seconds[labels[tp]] = max(0.0, now - oldest / 1000) if oldest else 0.0
        unfinished[labels[tp]] = each.unfinished
    return lag, seconds, unfinished


def _one(metric: Metric, value: float) -> Reading:
    return Reading(metric, {(): value})


def _pipeline(runtime: Running) -> Iterator[Reading]:
    pipeline = runtime.pipeline
    yield _one(catalogue.IN_FLIGHT, pipeline.flights.held)
    yield _one(catalogue.IN_FLIGHT_LIMIT, runtime.settings.max_in_flight)
    yield _one(catalogue.WAITING, pipeline.waiting)
    yield _one(catalogue.SEEN_MISSING, runtime.filling.missing)
    yield _one(catalogue.UNPUBLISHED, pipeline.unpublished)
    yield _one(catalogue.UNSENT, pipeline.unsent)
    stopped = {
        ("risk_api",): bool(pipeline.brakes.notes()),
        ("dead_letters",): bool(pipeline.brakes.too_many_letters()),
        ("unusable_answers",): bool(pipeline.brakes.too_many_unusable()),
        ("taken_back",): bool(pipeline.brakes.taken_back()),
    }
    yield Reading(catalogue.INTAKE, {reason: int(is_so) for reason, is_so in stopped.items()})
    yield _one(catalogue.BLOCKING, runtime.liveness.watchdog.blocking_age())
    yield _one(catalogue.STUCK, len(runtime.liveness.stuck) + len(runtime.liveness.hanging))


def _risk(gate: Gate) -> Iterator[Reading]:
    states = catalogue.BREAKER.labels[0].values
    yield Reading(catalogue.BREAKER, {(state,): int(state == gate.breaker.state) for state in states})
    yield _one(catalogue.RISK_IN_FLIGHT, gate.limiter.in_flight)
    yield _one(catalogue.RISK_LIMIT, gate.limiter.limit)
    yield _one(catalogue.RISK_WAITING, gate.waiting)
    yield _one(catalogue.CALL_REPEATS, gate.repeats)


def _services(runtime: Running) -> Iterator[Reading]:
    lookups = runtime.web.cache.lookups
    yield Reading(catalogue.CACHE, {(outcome,): lookups[outcome] for outcome in catalogue.CACHE.labels[0].values})
    lookups = runtime.web.dashboard.primary_lookups
    yield Reading(catalogue.PRIMARY, {(outcome,): lookups[outcome] for outcome in catalogue.PRIMARY.labels[0].values})
    probes = runtime.probes
    if probes.replica_lag is not None:
        yield _one(catalogue.REPLICA_LAG, probes.replica_lag())
    if probes.months_ahead is not None:
        yield _one(catalogue.MONTHS, probes.months_ahead)
