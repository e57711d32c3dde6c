"""What `faust -A creditstream dlq` does: list, show, replay."""

from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from creditstream.config.settings import Settings
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDERS, ORDERS_DEAD_LETTER, ORDERS_RETRY, topic_name
from creditstream.operations.dead_letter import Letter
from creditstream.operations.dlq.filter import Filter
from creditstream.operations.dlq.last_letters import Books
from creditstream.operations.dlq.replay import Destinations, Sending, send_again
from creditstream.operations.progress import progress_bars
from creditstream.order.ports import Outgoing, Publishes


class There(NamedTuple):
    """All letters by reason and by their origin's topic: what a filter that finds nothing could have meant."""

    reasons: Counter[str]
    topics: Counter[str]


class Listing(NamedTuple):
    """The letters that are meant: how many of each reason, and the last ones."""

    reasons: Counter[str]
    letters: list[Letter]
    there: There


@dataclass
class Replayed:
    """How many letters were, or would be, sent to each topic, and their reasons.

    `not_whole`: how many more are meant whose record is not here whole: removed with its customer's data, or cut.
    """

    there: There
    topics: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    not_whole: int = 0


async def list_letters(settings: Settings, wanted: Filter, *, limit: int) -> Listing:
    """Raises StartError or BrokerUnavailable, as all here."""
    reasons: Counter[str] = Counter()
    newest: deque[Letter] = deque(maxlen=limit)
    async with _opened(settings) as (_, there, batches):
        async for batch in batches(wanted, "listing"):
            reasons.update(letter.reason for letter in batch)
            newest.extend(batch)
    return Listing(reasons, list(newest), there)


async def replay_letters(
    settings: Settings,
    wanted: Filter,
    *,
    by: str,
    dry_run: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Replayed:
    """Send again, each batch's delivery awaited; what was interrupted may be run again."""
    async with _opened(settings) as (to, there, batches):
        done = Replayed(there)
        publisher = None if dry_run else await Publisher.open(settings)
        try:
            async for meant in batches(wanted, "would send" if dry_run else "sending"):
                batch = [letter for letter in meant if letter.is_whole and not letter.is_forgotten]
                sendings = [send_again(letter, to, by, now()) for letter in batch]
                if publisher:
                    await _deliver(publisher, sendings)
                done.topics.update(sending.topic for sending in sendings)
                done.reasons.update(letter.reason for letter in batch)
                done.not_whole += len(meant) - len(batch)
        finally:
            if publisher:
                await publisher.close()
    return done


async def _deliver(publisher: Publishes, sendings: list[Sending]) -> None:
    """One batch a topic and partition; BrokerUnavailable ends the command, which can be repeated."""
    records: dict[str, dict[int, list[Outgoing]]] = defaultdict(lambda: defaultdict(list))
    for sending in sendings:
        records[sending.topic][sending.partition].append(sending.record)
    for topic, partitions in records.items():
        await publisher.publish(topic, partitions)


Batches = Callable[[Filter, str], AsyncIterator[list[Letter]]]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Destinations, There, Batches]]:
    """`There` is filled while batches are read."""
    letters, orders, retry = (topic_name(settings, name) for name in (ORDERS_DEAD_LETTER, ORDERS, ORDERS_RETRY))
    topics = await Topics.open(settings, [letters, orders, retry])
    try:
        with progress_bars(shown=True) as progress:
            books, there = Books(topics, letters, progress), There(Counter(), Counter())

            async def batches(wanted: Filter, doing: str) -> AsyncIterator[list[Letter]]:
                async for batch in books.letters(doing):
                    there.reasons.update(letter.reason for letter in batch)
                    there.topics.update(letter.topic for letter in batch)
                    yield [letter for letter in batch if wanted.takes(letter)]

            yield Destinations(orders, retry, topics.partitions(orders)), there, batches
    finally:
        await topics.close()
