"""What a worker holds open while it runs: PostgreSQL, the risk API, the producer, and the pipeline over them."""

import asyncio
import gc
import logging
import platform
import random
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

import stamina.instrumentation
from aiokafka.errors import KafkaError
from faust.types import TP
from mode import Service

from creditstream.config.patience import KAFKA, patiently
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable
from creditstream.kafka.client import cluster_id
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.fenced_publisher import StatusPublisher
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import (
    ORDER_STATUS,
    ORDERS_BY_ID,
    ORDERS_DEAD_LETTER,
    ORDERS_RETRY,
    SEEN_CHANGELOG,
    topic_name,
)
from creditstream.kafka.watchdog import Standing, Watchdog, judged
from creditstream.metrics.dogstatsd import DogStatsD
from creditstream.metrics.instruments import Instruments
from creditstream.metrics.prometheus import Exposition
from creditstream.metrics.throughput import Throughput
from creditstream.order.dead_letter_limit import DeadLetterLimit
from creditstream.order.flight import Flight
from creditstream.order.outbox import Outbox
from creditstream.order.pipeline import Limits, Pipeline
from creditstream.order.policy import load_policy
from creditstream.order.retry import RetryRule
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.settlement import Settlement
from creditstream.risk.guarded import GuardedRisk
from creditstream.store.orders import PostgresStore
from creditstream.store.reads import Reads
from creditstream.store.replica import Replica
from creditstream.web.assembly import WebParts
from creditstream.worker.preflight import check_services
from creditstream.worker.probes import Probes
from creditstream.worker.readings import Readings

log = logging.getLogger(__name__)
_PARTITIONS_EVERY = 3_600.0
_WATCH_EVERY = 5.0
#: Without a word from the group for so many session time-outs, while Kafka answers, something is wrong with its client.
_SILENT_SESSIONS = 10
#: A group that is silent: its next word is due, and does not come.
_UNHEARD = Standing(0, 1)
_ANSWER_WITHIN = 5.0
_CANCEL_AGAIN = 1.0
_CANCEL_TIMES = 10


class Runtime(Service):
    """Opens the adapters, runs the pipeline's loops, closes all when the worker stops."""

    pipeline: Pipeline
    store: PostgresStore
    abstract = False

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__()
        self.app = app
        self.settings = settings
        self.partitions: int | None = None
        self.metrics = Instruments()
        #: What /metrics shows; None while the worker starts.
        self.exposition: Exposition | None = None
        self._opened = AsyncExitStack()
        self.throughput = Throughput()
        self._loops: set[asyncio.Future[None]] = set()
        self._outgrown = asyncio.Event()
        self.watchdog: Watchdog[TP] = Watchdog(settings.stuck_after)
        self._silent_after = min(settings.stuck_after, _SILENT_SESSIONS * settings.session_timeout)
        self._silence: Watchdog[str] = Watchdog(self._silent_after)
        #: Partitions that have work and do not get on with it, or all when the group's client is silent.
        self.stuck: list[str] = []
        self._transactions: Watchdog[TP] = Watchdog(settings.stuck_after)
        #: Partitions that cannot be read on because a producer does not end its transaction: no restart helps there.
        self.hanging: list[str] = []

    async def on_start(self) -> None:
        # Tables attach themselves to the app, which knows this module: they are there only when it runs.
        from tables.seen import seen
        from tables.statuses import statuses

        settings = self.settings
        partitions = self.partitions = self.partitions or await check_services(settings)
        self.store = await patiently(settings, lambda: PostgresStore.open(settings))
        self._opened.push_async_callback(self.store.close)
        self.publisher = await patiently(settings, lambda: Publisher.open(settings), KAFKA)
        self._opened.push_async_callback(self.publisher.close)
        # Its own WARNING for every repeat of a call: with an API that fails, thousands of lines a minute.
        stamina.instrumentation.set_on_retry_hooks([])
        self.risk = await GuardedRisk.open(settings, on_call=self.metrics.on_call)
        self._opened.push_async_callback(self.risk.close)
        routes = _routes(settings, partitions)
        self.statuses = StatusPublisher(
            lambda may_send: Publisher.open(settings, may_send=may_send), lambda: self._consumer.lease_holds()
        )
        self._opened.push_async_callback(self.statuses.close)
        settlement = Settlement(
            routes=routes,
            store=self.store,
            publisher=self.publisher,
            status_publisher=self.statuses,
            seen=seen,
            statuses=statuses,
            metrics=self.metrics,
        )
        settlement.on_finished = self._count
        scoring = Scoring(
            concurrency=settings.risk_concurrency,
            store=self.store,
            risk=self.risk,
            policy=load_policy(settings.policy_file or None),
            retry=_retry_rule(settings),
            settlement=settlement,
            metrics=self.metrics,
        )
        self.pipeline = Pipeline(
            limits=Limits(*(getattr(settings, name) for name in Limits._fields)),
            routes=routes,
            seen=seen,
            scoring=scoring,
            settlement=settlement,
            outbox=Outbox(self.publisher),
            intake=self.risk,
            letters=DeadLetterLimit(
                settings.dead_letter_limit, settings.dead_letter_share, settings.dead_letter_window
            ),
            answers=self.risk.gate.unusable,
            metrics=self.metrics,
        )
        self.web = WebParts(self.app, settings, lambda: Reads.open(settings), statuses)
        self._opened.push_async_callback(self.web.close)
        await self.web.cache.greet()
        _spare_the_collector()
        loops = (
            *self.pipeline.tasks(),
            self._make_partitions(),
            self._watch(),
            self._end_when_outgrown(partitions),
            *self._measure(),
        )
        self._loops = {asyncio.ensure_future(loop) for loop in loops}
        self.add_future(self._notice_failure())

    def _measure(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The loops that measure, and what /metrics shows."""
        settings = self.settings
        open_replica = (lambda: Replica.open(settings)) if settings.postgres_replica_dsn else None
        self.probes = Probes(self.store, open_replica)
        self._opened.push_async_callback(self.probes.close)
        readings = Readings(self, lambda: self.app.consumer, settings.topic_prefix)
        self.exposition = Exposition(readings)
        yield self.probes.run()
        if settings.dogstatsd_address:
            tags = (f"group:{settings.group}", f"worker:{platform.node()}:{settings.web_port}")
            yield DogStatsD(readings, tags).run(settings.dogstatsd_address)

    async def _notice_failure(self) -> None:
        """The loops never end by themselves: one that does ends the worker with its error."""
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()

    async def on_stop(self) -> None:
        """End the loops. One cancellation may not be enough: asyncio.wait_for, and aiopg with it, can lose one."""
        pending = set(self._loops)
        for _ in range(_CANCEL_TIMES):
            for task in pending:
                task.cancel()
            if pending:
                _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN)
        if pending:
            log.error("%d loops do not end, left behind: %s", len(pending), pending)

    async def _watch(self) -> None:
        """What does not get on is said in the log, and liveness fails, so that the worker is restarted."""
        while not self.should_stop:
            await self.sleep(_WATCH_EVERY)
            # While intake is paused on purpose, a restart would mend nothing.
            paused = self.pipeline.notes() or self.pipeline.problems()
            standings = {} if paused else judged(self._consumer.standings(), self._rests)
            found = self.watchdog.look(standings, time.monotonic())
            stuck = sorted(f"{tp.topic}[{tp.partition}]" for tp in found)
            self._look_for_transactions()
            if stuck and stuck != self.stuck:
                log.error(
                    "no progress for %.0f s although there is work: %s", self.settings.stuck_after, ", ".join(stuck)
                )
            self.stuck = stuck or await self._silent()

    @property
    def _consumer(self) -> InOrderConsumer:
        return cast(InOrderConsumer, self.app.consumer)

    def _look_for_transactions(self) -> None:
        at = self._consumer.open_transactions()
        found = sorted(self._transactions.look(at, time.monotonic()))
        hanging = [
            f"{tp.topic}[{tp.partition}]: a transaction that its producer does not end hides what comes from offset "
            f"{at[tp].position} on"
            for tp in found
        ]
        if hanging and hanging != self.hanging:
            log.error("no progress for %.0f s: %s", self.settings.stuck_after, "; ".join(hanging))
        self.hanging = hanging

    def notes(self) -> list[str]:
        """What people should see although this worker is as ready as it can be."""
        return [*self.pipeline.notes(), *self.hanging]

    async def _silent(self) -> list[str]:
        """The group, if its client is not answered although Kafka answers others: aiokafka hangs (docs/adr/0015)."""
        excused = self._consumer.lease_holds() or not await self._kafka_answers()
        standings = {} if excused else {f"all of the group {self.settings.group}": _UNHEARD}
        silent = self._silence.look(standings, time.monotonic())
        if silent:
            log.error(
                "no word from the consumer group for %.0f s although Kafka answers: this worker should be restarted",
                self._silent_after,
            )
        return silent

    async def _kafka_answers(self) -> bool:
        """Over a connection of its own: those that are there may be what hangs."""
        try:
            await asyncio.wait_for(cluster_id(self.settings), _ANSWER_WITHIN)
        except (StartError, KafkaError, OSError):  # a TimeoutError is one of these
            return False
        return True

    def _rests(self, tp: TP) -> bool:
        """Orders wait on `orders-retry` for up to `retry_max_delay`, which is longer than `stuck_after`."""
        return self.pipeline.waiting > 0 and tp.topic == topic_name(self.settings, ORDERS_RETRY)

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

    async def on_shutdown(self) -> None:
        """Close what was opened, also when the start did not get far."""
        await self._opened.aclose()

    async def drain(self) -> None:
        if self._loops and not self.should_stop:  # Faust's consumer asks once more when nothing goes on any more
            await self.pipeline.drain(self.settings.drain_timeout)

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """`interrupted`: others may have had these partitions since; what is held of them is given up as well."""
        log.info("rebalancing" if partitions is None else f"at work on partitions {sorted(partitions)}")
        if partitions is None:
            self.statuses.end_ownership()
        elif self.partitions is not None and any(each >= self.partitions for each in partitions):
            self._outgrown.set()
            return
        self.pipeline.own(partitions, interrupted=interrupted)

    async def end_pages(self) -> None:
        """The web server stops: it would wait for the pages' streams otherwise."""
        if self._loops:
            await self.web.live.close()

    def _count(self, flights: Sequence[Flight]) -> None:
        now = time.monotonic()
        self.throughput.add(now, [now - flight.started for flight in flights])


def _spare_the_collector() -> None:
    """What is there now stays for the worker's life: the collector need not look at it again and again.

    Orders in flight are thousands of young objects; with Python's usual threshold of 700 they are walked all the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _retry_rule(settings: Settings) -> RetryRule:
    return RetryRule(
        settings.retry_delay,
        settings.retry_max_attempts,
        settings.retry_max_age,
        settings.retry_max_delay,
        random.random,
    )


def _routes(settings: Settings, partitions: int) -> Routes:
    names = (ORDERS_BY_ID, ORDER_STATUS, ORDERS_RETRY, ORDERS_DEAD_LETTER, SEEN_CHANGELOG)
    return Routes(partitions, *(topic_name(settings, name) for name in names))
