"""What there is to say about a metric beside its value."""

from typing import Literal, NamedTuple

PREFIX = "creditstream_"
#: A label's value that its list does not know: cardinality stays bounded whatever happens.
OTHER = "other"

Kind = Literal["counter", "gauge", "histogram"]


class Label(NamedTuple):
    """`values` empty: numbers that the program's own settings bound (partitions), or its one version."""

    name: str
    values: tuple[str, ...] = ()


class Metric(NamedTuple):
    """`name` without the prefix; it ends with the unit, as OpenMetrics asks. Prometheus adds `_total` to counters."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name

    @property
    def datadog_name(self) -> str:
        return f"creditstream.{self.name}"
