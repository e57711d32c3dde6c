"""Counters and histograms for the order's way: plain numbers of one thread, so no locks; read at a scrape."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

from creditstream.metrics import catalogue
from creditstream.metrics.metric import OTHER, Metric

Labels = tuple[str, ...]


class Distribution(NamedTuple):
    """How many values fell into each bucket (one more than there are bounds), and their sum."""

    counts: tuple[int, ...]
    total: float


class Reading(NamedTuple):
    """One metric with a value for each combination of its labels' values."""

    metric: Metric
    values: dict[Labels, float | Distribution]


class Counter:
    """Every combination of label values is there from the start: rates begin at 0, not at the first event."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._values = dict.fromkeys(combinations(metric), 0)
        self._other = (OTHER,) * len(metric.labels)

    def add(self, *labels: str, by: int = 1) -> None:
        """A value that the catalogue does not list counts as `other`."""
        if labels in self._values:
            self._values[labels] += by
        else:
            self._values[self._other] = self._values.get(self._other, 0) + by

    def read(self) -> Reading:
        return Reading(self.metric, dict(self._values))


class Series:
    """One combination of labels of a histogram, to be kept by whoever observes."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def observe_all(self, values: Iterable[float]) -> None:
        """As `observe`, for a batch."""
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self._total += value

    def read(self) -> Distribution:
        return Distribution(tuple(self._counts), self._total)


class Histogram:
    """A series for each combination of label values, all there from the start."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._series = {labels: Series(metric.buckets) for labels in combinations(metric)}

    def series(self, *labels: str) -> Series:
        """Raises KeyError for labels outside the catalogue."""
        return self._series[labels]

    def read(self) -> Reading:
        return Reading(self.metric, {labels: series.read() for labels, series in self._series.items()})


class Instruments:
    """What is counted where it happens. What the parts' own state shows is not counted twice (readings.py)."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since 1970, by which records are stamped."""
        self.now = now
        latency, flush = Histogram(catalogue.LATENCY), Histogram(catalogue.FLUSH_SECONDS)
        sizes = Histogram(catalogue.FLUSH_ORDERS)
        risk, pause = Histogram(catalogue.RISK_SECONDS), Histogram(catalogue.PAUSE)
        self.accepted, self.committed, self.published = map(latency.series, ("accepted", "committed", "published"))
        self.commit_seconds, self.publish_seconds, self.mark_seconds = map(flush.series, ("commit", "publish", "mark"))
        self.commit_orders, self.publish_orders = map(sizes.series, ("commit", "publish"))
        self.call_seconds, self.pause_seconds = risk.series(), pause.series()
        self.finished = Counter(catalogue.ORDERS_DONE)
        self.duplicates = Counter(catalogue.DUPLICATES)
        self.letters = Counter(catalogue.LETTERS)
        self.record_errors = Counter(catalogue.RECORD_ERRORS)
        self.calls = Counter(catalogue.RISK_CALLS)
        self.store_retries = Counter(catalogue.STORE_RETRIES)
        self.commits = Counter(catalogue.COMMITS)
        self.rebalances, self.log_cuts = Counter(catalogue.REBALANCES), Counter(catalogue.LOG_CUTS)
        self.wiped_tables, self.lost_retries = Counter(catalogue.WIPED_TABLES), Counter(catalogue.LOST_RETRIES)
        counters = (self.finished, self.duplicates, self.letters, self.record_errors, self.calls, self.store_retries)
        losses = (self.log_cuts, self.wiped_tables, self.lost_retries)
        self._all = (latency, flush, sizes, risk, pause, *counters, self.commits, self.rebalances, *losses)

    def on_call(self, outcome: str, seconds: float) -> None:
        """One call of the risk API has ended (`RiskClient.on_call`)."""
        self.calls.add(outcome)
        self.call_seconds.observe(seconds)

    def read(self) -> list[Reading]:
        return [instrument.read() for instrument in self._all]


def combinations(metric: Metric) -> list[Labels]:
    return list(product(*(label.values for label in metric.labels)))
