"""A worker's life: what it holds open is opened, its loops run, all of it is closed."""

import asyncio
import logging
import platform
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from faust.types import TP
from mode import Service

from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.fenced_publisher import StatusPublisher
from creditstream.kafka.filling import Filling
from creditstream.kafka.published import last_published
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.throttle import Throttle
from creditstream.kafka.topics import ORDERS_RETRY, topic_name
from creditstream.metrics.dogstatsd import DogStatsD
from creditstream.metrics.instruments import Instruments
from creditstream.metrics.prometheus import Exposition
from creditstream.metrics.throughput import Throughput
from creditstream.order.flight import Flight
from creditstream.order.pipeline import Pipeline
from creditstream.risk.guarded import GuardedRisk
from creditstream.store.orders import PostgresStore
from creditstream.store.reads import Reads
from creditstream.store.replica import Replica
from creditstream.web.assembly import Host as WebHost
from creditstream.web.assembly import WebParts
from creditstream.worker.assembly import build_pipeline, open_services
from creditstream.worker.collector import spare_the_collector
from creditstream.worker.inherited import Inherited
from creditstream.worker.liveness import Liveness
from creditstream.worker.loops import Loops
from creditstream.worker.preflight import check_services
from creditstream.worker.probes import Probes
from creditstream.worker.readings import Readings
from creditstream.worker.taken_back import TakenBack
from tables.seen import Seen

log = logging.getLogger(__name__)
_PARTITIONS_EVERY = 3_600.0


class Host(WebHost, Protocol):
    """The app that the runtime is a part of."""

    @property
    def group(self) -> InOrderConsumer: ...


class Runtime(Service):
    """Opens the adapters, runs the pipeline's loops, closes all when the worker stops."""

    store: PostgresStore
    publisher: Publisher
    risk: GuardedRisk
    statuses: StatusPublisher
    pipeline: Pipeline
    filling: Filling
    web: WebParts
    probes: Probes
    inherited: Inherited
    abstract = False

    def __init__(self, app: Host, settings: Settings, seen: Seen, metrics: Instruments) -> None:
        super().__init__()
        self.app, self.settings, self.metrics = app, settings, metrics
        self._seen, self._name = seen, f"{platform.node()}:{settings.web_port}"
        #: Of each topic; None until Kafka was asked.
        self.partitions: int | None = None
        #: What /metrics shows; None while the worker starts.
        self.exposition: Exposition | None = None
        self.throughput = Throughput()
        self.liveness = Liveness(app, settings)
        self._opened = AsyncExitStack()
        self._loops: Loops | None = None
        self._outgrown = asyncio.Event()

    async def check(self) -> int:
        """Wait for Kafka and PostgreSQL. Returns how many partitions each topic has. Raises StartError.

        Called by the launcher, for which what is missing is one line and not a worker that crashes."""
        if self.partitions is None:
            self.partitions = await check_services(self.settings)
        return self.partitions

    async def on_start(self) -> None:
        settings = self.settings
        partitions = await self.check()
        services = await open_services(settings, self.metrics, lambda: self.app.group, self._opened)
        self.store, self.publisher, self.risk, self.statuses, _ = services
        self.pipeline = build_pipeline(settings, partitions, services, self._seen, self.metrics, self._count)
        self.inherited = Inherited(self.store, lambda partitions: last_published(settings, partitions))
        self.filling = Filling(settings, self._seen, Throttle(lambda: bool(self.pipeline.flights)))
        open_primary = (lambda: Reads.open_primary(settings)) if settings.postgres_replica_dsn else None
        self.web = WebParts(self.app, settings, lambda: Reads.open(settings), open_primary)
        self._opened.push_async_callback(self.web.close)
        await self.web.cache.greet()
        spare_the_collector()
        loops = (
            *self.pipeline.tasks(),
            self.filling.run(),
            self._make_partitions(),
            self.liveness.run(self.pipeline),
            self._end_when_outgrown(partitions),
            TakenBack(self.store, self.pipeline, self._name, self.inherited.ask_again).run(),
            self.inherited.run(),
            *self._measure(),
        )
        self._loops = Loops(loops, lambda: self.should_stop)
        self.add_future(self._loops.watch())

    def _measure(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The loops that measure, and what /metrics shows."""
        settings = self.settings
        open_replica = (lambda: Replica.open(settings)) if settings.postgres_replica_dsn else None
        self.probes = Probes(self.store, open_replica)
        self._opened.push_async_callback(self.probes.close)
        readings = Readings(self, lambda: self.app.group, settings.topic_prefix)
        self.exposition = Exposition(readings)
        yield self.probes.run()
        if settings.dogstatsd_address:
            tags = (f"group:{settings.group}", f"worker:{self._name}")
            yield DogStatsD(readings, tags).run(settings.dogstatsd_address)

    async def on_stop(self) -> None:
        if self._loops:
            await self._loops.stop()

    async def on_shutdown(self) -> None:
        """Close what was opened, also when the start did not get far."""
        await self._opened.aclose()

    @property
    def stuck(self) -> list[str]:
        """What does not get on and may after a restart; empty for a worker that is well."""
        return self.liveness.stuck

    def gate(self) -> dict[str, str | int]:
        """How the risk API's gate stands, for people."""
        gate = self.risk.gate
        return {"breaker": gate.breaker.state, "in_flight": gate.limiter.in_flight, "limit": gate.limiter.limit}

    def notes(self) -> list[str]:
        """What people should see although this worker is as ready as it can be."""
        return [*self.pipeline.notes(), *self.filling.notes(), *self.liveness.hanging]

    async def drain(self) -> None:
        """As `creditstream.kafka.ownership.Ownership`."""
        if self._loops and not self.should_stop:  # Faust's consumer asks once more when nothing goes on any more
            await self.pipeline.drain(self.settings.drain_timeout)

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """As `creditstream.kafka.ownership.Ownership`; when interrupted, what is held of them is given up as well."""
        log.info("rebalancing" if partitions is None else f"at work on partitions {sorted(partitions)}")
        if partitions is None:
            self.statuses.end_ownership()
            self.filling.own(None)
        elif self.partitions is not None and any(each >= self.partitions for each in partitions):
            self._outgrown.set()
            return
        else:
            self.inherited.own(partitions)
            self.filling.own(partitions)
        self.pipeline.own(partitions, interrupted=interrupted)

    def cut(self, tp: TP) -> None:
        """As `creditstream.kafka.ownership.Ownership`. Of the other topics nothing is known by its offset alone."""
        if tp.topic == topic_name(self.settings, ORDERS_RETRY):
            self.pipeline.forget_retries(tp.partition)

    async def end_pages(self) -> None:
        """The web server stops: it would wait for the pages' streams otherwise."""
        if self._loops:
            await self.web.live.close()

    async def _end_when_outgrown(self, partitions: int) -> None:
        """Orders would have two homes. Restarted, the worker counts anew, or says what is missing."""
        await self._outgrown.wait()
        raise StartError(f"topics have more than the {partitions} partitions that this worker started with")

    async def _make_partitions(self) -> None:
        """Next month's partition is there before its first order."""
        while not self.should_stop:
            try:
                await self.store.ensure_partitions_ahead()
            except StoreUnavailable as error:
                log.warning("partitions not made ahead, trying again later: %s", error)
            await self.sleep(_PARTITIONS_EVERY)

    def _count(self, flights: Sequence[Flight]) -> None:
        now = time.monotonic()
        self.throughput.add(now, [now - flight.started for flight in flights])
