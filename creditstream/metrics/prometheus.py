"""The readings as Prometheus reads them: OpenMetrics when asked for it, else the text format, each with its type."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from creditstream.metrics.held import Held
from creditstream.metrics.instruments import Distribution, Reading

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Exposition(Collector):
    """Its own registry: what other libraries register in prometheus_client's global one is not ours."""

    def __init__(self, read: Callable[[], Iterable[Reading]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._held = Held(clock)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type, by the request's Accept header. At most 0.25 s old, however many ask."""
        encode, content_type = choose_encoder(accept)
        body = self._held.get(content_type)
        if body is None:
            body = encode(self._registry)
            self._held.keep(content_type, body)
        return body, content_type

    def describe(self) -> list[Family]:
        """None in advance: the registry need not know our names, the catalogue does."""
        return []

    def collect(self) -> Iterator[Family]:
        for reading in self._read():
            yield _family(reading)


def _family(reading: Reading) -> Family:
    metric = reading.metric
    names = [label.name for label in metric.labels]
    about = (metric.full_name, metric.meaning)
    if metric.kind == "histogram":
        return _histogram(HistogramMetricFamily(*about, labels=names, unit=metric.unit), reading)
    numbers = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = numbers(*about, labels=names, unit=metric.unit)
    for labels, value in reading.values.items():
        if not isinstance(value, Distribution):
            family.add_metric(list(labels), value)
    return family


def _histogram(family: HistogramMetricFamily, reading: Reading) -> HistogramMetricFamily:
    bounds = [*(str(float(bound)) for bound in reading.metric.buckets), "+Inf"]
    for labels, value in reading.values.items():
        if isinstance(value, Distribution):
            family.add_metric(list(labels), list(zip(bounds, accumulate(value.counts), strict=True)), value.total)
    return family
