"""The same readings for a Datadog agent: DogStatsD datagrams over UDP. No library: one already has a thread, a buffer
and sums of its own, and ours are all there."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from creditstream.metrics.catalogue import Metric
from creditstream.metrics.instruments import Distribution, Labels, Reading

#: Seconds between two reports: the agent sums over ten as well.
EVERY = 10.0
#: Bytes of one datagram: below the smallest usual MTU.
_DATAGRAM = 1_400


class DogStatsD:
    """Counters as what was added since the last report, histograms as distributions, gauges as they are."""

    def __init__(self, read: Callable[[], Iterable[Reading]], tags: Iterable[str] = ()) -> None:
        self._read, self._tags = read, tuple(tags)
        self._last: dict[tuple[str, Labels], float | Distribution] = {}

    async def run(self, address: str) -> None:
        """For as long as the worker lives. Nobody listening is nobody's problem."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):  # the name does not resolve now
                transport, _ = await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=(host.strip("[]"), int(port))
                )
                try:
                    await self._report(transport)
                finally:
                    transport.close()
            await asyncio.sleep(EVERY)

    async def _report(self, transport: asyncio.DatagramTransport) -> None:
        while not transport.is_closing():
            for datagram in self.datagrams():
                try:
                    transport.sendto(datagram)
                except RuntimeError:  # uvloop's word for a socket that is closed at this moment
                    return
            await asyncio.sleep(EVERY)

    def datagrams(self) -> Iterator[bytes]:
        """What has changed since the last call, a few lines in each."""
        lines: list[bytes] = []
        for line in self._lines():
            if lines and sum(map(len, lines)) + len(lines) + len(line) > _DATAGRAM:
                yield b"\n".join(lines)
                lines = []
            lines.append(line)
        if lines:
            yield b"\n".join(lines)

    def _lines(self) -> Iterator[bytes]:
        for metric, values in self._read():
            for labels, value in values.items():
                before = self._last.get((metric.name, labels))
                self._last[metric.name, labels] = value
                tags = ",".join([*self._tags, *_tags(metric, labels)])
                for text in _values(metric, value, before):
                    yield (
                        f"{metric.datadog_name}:{text}|#{tags}".encode()
                        if tags
                        else (f"{metric.datadog_name}:{text}".encode())
                    )


def _tags(metric: Metric, labels: Labels) -> list[str]:
    return [f"{label.name}:{value}" for label, value in zip(metric.labels, labels, strict=True)]


def _values(metric: Metric, value: float | Distribution, before: float | Distribution | None) -> Iterator[str]:
    if isinstance(value, Distribution):
        known = before.counts if isinstance(before, Distribution) else (0,) * len(value.counts)
        for middle, count, earlier in zip(_middles(metric.buckets), value.counts, known, strict=True):
            if count > earlier:
                # One value that stands for many: the agent weighs it by the inverse of its sample rate.
                yield f"{middle:g}|d|@{1 / (count - earlier):.12g}"
    elif metric.kind == "counter":
        yield f"{value - (before if isinstance(before, float | int) else 0):g}|c"
    else:
        yield f"{value:.6g}|g"


def _middles(bounds: tuple[float, ...]) -> Iterator[float]:
    """What stands for each bucket's values; beyond the last bound nothing better is known than that bound."""
    for low, high in pairwise((0.0, *bounds)):
        yield (low + high) / 2
    yield bounds[-1]
