"""The load generator: sends a seeded mix to the orders topic, as fast as asked."""

import asyncio
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import ORDERS, create_topics, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from creditstream.simulation.mix import SPAN, Line, make_mix

#: Records in one flush without a rate: enough to fill each partition's batch.
_FLUSH = 1_000
#: With a rate, ten flushes a second look smooth.
_FLUSHES_PER_SECOND = 10
_REPORT_EVERY = 2.0


async def run_load(
    settings: Settings,
    *,
    count: int,
    rate: float,
    duplicates: int,
    conflicts: int,
    malformed: int,
    seed: int,
    keyed: bool,
) -> dict[str, int]:
    """Send the mix; `rate` in records per second, 0 for no limit. Returns how many of each kind were sent.

    `keyed`: each record's key is its order id. Otherwise keys are null and the records spread over all partitions, so
    that repeats meet their original on another one. On one day the same seed sends the same orders.
    Raises StartError or BrokerUnavailable.
    """
    lines = _todays_mix(count, duplicates, conflicts, malformed, seed)
    partitions, dice = await create_topics(settings), random.Random(seed)
    publisher = await Publisher.open(settings)
    try:
        send = partial(publisher.publish, topic_name(settings, ORDERS))
        return await _send(lines, rate, lambda flush: send(_placed(flush, partitions, dice, keyed=keyed)))
    finally:
        await publisher.close()


def _todays_mix(count: int, duplicates: int, conflicts: int, malformed: int, seed: int) -> list[Line]:
    if not count and (duplicates or conflicts):
        raise StartError("load: --duplicates and --conflicts repeat an order: --count 0 has none")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return make_mix(count, duplicates, conflicts, malformed, seed, now=today + SPAN)


async def _send(
    lines: Sequence[Line], rate: float, send: Callable[[Sequence[Line]], Awaitable[object]]
) -> dict[str, int]:
    sent: Counter[str] = Counter(dict.fromkeys(("order", "duplicate", "conflict", "malformed"), 0))
    with _Progress(len(lines)) as progress:
        started = time.monotonic()
        for flush in _flushes(lines, rate):
            await send(flush)
            sent.update(line.kind for line in flush)
            progress.advance(len(flush))
            if rate:
                await asyncio.sleep(max(0.0, started + sent.total() / rate - time.monotonic()))
    return dict(sent)


def _flushes(lines: Sequence[Line], rate: float) -> Iterator[Sequence[Line]]:
    size = max(1, min(_FLUSH, int(rate / _FLUSHES_PER_SECOND))) if rate else _FLUSH
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def _placed(lines: Sequence[Line], partitions: int, dice: random.Random, *, keyed: bool) -> dict[int, list[Outgoing]]:
    placed: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for line in lines:
        if keyed and line.order_id:
            key = str(line.order_id).encode()
            placed[home_partition(line.order_id, partitions)].append(Outgoing(key, line.value))
        else:
            placed[dice.randrange(partitions)].append(Outgoing(None, line.value))
    return placed


class _Progress:
    """On standard error: a bar on a terminal, elsewhere a line every two seconds."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._terminal = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("sending", total=total)
        self._reported = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, records: int) -> None:
        self._done += records
        self._bar.advance(self._task, records)
        if not self._terminal and time.monotonic() - self._reported >= _REPORT_EVERY:
            self._reported = time.monotonic()
            print(f"sent {self._done:,} of {self._total:,}", file=sys.stderr, flush=True)
