"""What a worker holds open while it runs: PostgreSQL, the risk API, the producer, and the pipeline over them."""

import gc
import logging
from typing import Any

from mode import Service

from creditstream.errors import StoreUnavailable
from creditstream.kafka import Publisher
from creditstream.outbox import Outbox
from creditstream.pipeline import Limits, Pipeline
from creditstream.policy import load_policy
from creditstream.preflight import check_services
from creditstream.retry import RetryRule
from creditstream.risk.client import RiskClient
from creditstream.scoring import Scoring
from creditstream.settings import Settings
from creditstream.settlement import Routes, Settlement
from creditstream.store.orders import PostgresStore
from creditstream.store.reads import Reads
from creditstream.topics import (
    ORDER_STATUS,
    ORDERS_BY_ID,
    ORDERS_DEAD_LETTER,
    ORDERS_RETRY,
    SEEN_CHANGELOG,
    topic_name,
)
from creditstream.web.cache import Cache
from creditstream.web.dashboard import Dashboard

log = logging.getLogger(__name__)
_PARTITIONS_EVERY = 3_600.0


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

    async def on_start(self) -> None:
        # Tables attach themselves to the app, which knows this module: they are there only when it runs.
        from tables.seen import seen
        from tables.statuses import statuses

        settings = self.settings
        partitions = self.partitions or await check_services(settings)
        self.store = await PostgresStore.open(settings)
        self.publisher = await Publisher.open(settings)
        self.risk = await RiskClient.open(settings)
        routes = _routes(settings, partitions)
        settlement = Settlement(routes=routes, store=self.store, publisher=self.publisher, seen=seen, statuses=statuses)
        scoring = Scoring(
            concurrency=settings.risk_concurrency,
            store=self.store,
            risk=self.risk,
            policy=load_policy(settings.policy_file or None),
            retry=RetryRule(settings.retry_delay, settings.retry_max_attempts, settings.retry_max_age),
            settlement=settlement,
        )
        self.pipeline = Pipeline(
            limits=Limits(*(getattr(settings, name) for name in Limits._fields)),
            routes=routes,
            seen=seen,
            scoring=scoring,
            settlement=settlement,
            outbox=Outbox(self.publisher),
        )
        self.dashboard = Dashboard(Cache.open(settings), lambda: Reads.open(settings))
        _spare_the_collector()
        for task in (*self.pipeline.tasks(), self._make_partitions()):
            self.add_future(task)

    async def _make_partitions(self) -> None:
        """Next month's partition is there before its first order."""
        while not self.should_stop:
            try:
                await self.store.ensure_partitions_ahead()
            except StoreUnavailable as error:
                log.warning("partitions not made ahead, trying again later: %s", error)
            await self.sleep(_PARTITIONS_EVERY)

    async def on_shutdown(self) -> None:
        await self.risk.close()
        await self.publisher.close()
        await self.store.close()
        await self.dashboard.close()

    async def drain(self) -> None:
        await self.pipeline.drain(self.settings.drain_timeout)

    def own(self, partitions: frozenset[int] | None) -> None:
        log.info("rebalancing" if partitions is None else f"at work on partitions {sorted(partitions)}")
        self.pipeline.own(partitions)

    def summary(self) -> str:
        """One line about this worker for the page."""
        return f"{len(self.pipeline.flights)} em processamento neste worker"


def _spare_the_collector() -> None:
    """What is there now stays for the worker's life: the collector need not look at it again and again.

    Orders in flight are thousands of young objects; with Python's usual threshold of 700 they are walked all the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _routes(settings: Settings, partitions: int) -> Routes:
    names = (ORDERS_BY_ID, ORDER_STATUS, ORDERS_RETRY, ORDERS_DEAD_LETTER, SEEN_CHANGELOG)
    return Routes(partitions, *(topic_name(settings, name) for name in names))
