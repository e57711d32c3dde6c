"""What the web server's pages use, opened and closed with the worker."""

import time
from collections.abc import Mapping, Sized
from datetime import UTC, datetime
from typing import Protocol

from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.offsets import Progress
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, topic_name
from creditstream.kafka.watchdog import Standing
from creditstream.metrics.throughput import Throughput
from creditstream.web import health
from creditstream.web.answers.cache import Cache
from creditstream.web.answers.dashboard import Dashboard
from creditstream.web.answers.source import OpenReads
from creditstream.web.answers.stats import Lag, Stats, Worker
from creditstream.web.health import Readiness
from creditstream.web.live.feed import Live


class Group(health.Group, Protocol):
    """This worker's partitions."""

    @property
    def progress(self) -> Mapping[TP, Progress]: ...

    def standings(self) -> Mapping[TP, Standing]: ...


class Pipeline(health.Pipeline, Protocol):
    """The orders' way."""

    @property
    def flights(self) -> Sized: ...


class Runtime(health.Runtime, Protocol):
    """The worker's own numbers."""

    @property
    def throughput(self) -> Throughput: ...

    def gate(self) -> Mapping[str, str | int]: ...

    def notes(self) -> list[str]: ...


class Host(health.Host, Protocol):
    """The app of a worker, which may not have started yet."""

    @property
    def group(self) -> Group: ...

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def runtime(self) -> Runtime: ...

    def page_places(self) -> int: ...


class WebParts:
    """Connects to nothing before somebody looks."""

    def __init__(self, app: Host, settings: Settings, open_reads: OpenReads, open_primary: OpenReads | None) -> None:
        self.cache = Cache.open(settings)
        self.dashboard = Dashboard(self.cache, open_reads, open_primary)
        self.stats = Stats(self.dashboard, _worker(app, settings))
        self.live = Live(settings, self.stats.json, app.page_places)
        self.readiness = Readiness(app)

    async def close(self) -> None:
        await self.live.close()
        await self.readiness.close()
        await self.dashboard.close()


def _worker(app: Host, settings: Settings) -> Worker:
    #: Records on `orders-retry` wait there on purpose.
    waiting = {topic_name(settings, ORDERS), topic_name(settings, ORDERS_BY_ID)}

    def lag() -> Lag:
        standings = {tp: at for tp, at in app.group.standings().items() if tp.topic in waiting}
        if not standings:
            return Lag(None, None)
        times = [progress.oldest_ms() for tp, progress in app.group.progress.items() if tp in standings]
        now = datetime.now(UTC).timestamp()
        ages = [max(0.0, now - moment / 1000) for moment in times if moment is not None]
        records = sum(at.end - at.position for at in standings.values())
        return Lag(records, round(max(ages, default=0.0), 3))

    return Worker(
        in_flight=lambda: len(app.pipeline.flights),
        lag=lag,
        series=lambda: app.runtime.throughput.series(time.monotonic()),
        risk=lambda: app.runtime.gate(),
        notes=lambda: [*app.pipeline.problems(), *app.runtime.notes()],
    )
