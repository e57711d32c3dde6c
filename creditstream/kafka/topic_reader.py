"""Reads the books: a topic from its first record to the end that it had, and PostgreSQL's rows by pages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka.client import client_options, open_admin
from creditstream.store.database import check_dsn
from creditstream.store.errors import translated
from creditstream.store.pool import connect
from schemas.status import Row

#: Rows in one page: some megabytes of JSON.
_PAGE = 5_000
#: A broker that gives nothing for this long, although there is more, has a fault.
_STALLED_AFTER = 30.0
_decode_rows = msgspec.json.Decoder(list[Row]).decode

Records = Sequence[Any]


class Topics:
    """Reads whole topics, outside any consumer group. Ends are fixed when it opens."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings, self._consumer = settings, consumer
        self._ends: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}

    @classmethod
    async def open(cls, settings: Settings, names: Sequence[str]) -> "Topics":
        """Raises StartError when a topic is missing, BrokerUnavailable when Kafka does not answer."""
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            isolation_level="read_committed",  # what a producer aborted never existed
            # At a topic's end the broker holds a fetch for so long, and every other question waits behind it.
            fetch_max_wait_ms=20,
        )
        topics = cls(settings, consumer)
        try:
            await consumer.start()
            await topics._fix_ends(names)
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, (KafkaError, OSError)):
                raise BrokerUnavailable(f"{settings.kafka_brokers}: {type(error).__name__}") from error
            raise
        return topics

    async def close(self) -> None:
        await self._consumer.stop()

    async def _fix_ends(self, names: Sequence[str]) -> None:
        for name, partitions in (await _partitions(self._settings, names)).items():
            where = [TopicPartition(name, number) for number in partitions]
            self._starts |= await self._consumer.beginning_offsets(where)
            self._ends |= await self._consumer.end_offsets(where)

    def size(self, name: str) -> int:
        """An upper bound on how many records will be read."""
        return sum(end - self._starts[where] for where, end in self._ends.items() if where.topic == name)

    def ends(self, name: str) -> dict[TopicPartition, int]:
        """Where each of the topic's partitions ended when it was opened."""
        return {where: end for where, end in self._ends.items() if where.topic == name}

    def partitions(self, name: str) -> int:
        """How many the topic has."""
        return sum(where.topic == name for where in self._ends)

    async def read(self, name: str) -> AsyncIterator[Records]:
        """All records of the topic, by the batch, in order within each partition. Raises BrokerUnavailable."""
        open_ends = {where: end for where, end in self._ends.items() if where.topic == name}
        open_ends = {where: end for where, end in open_ends.items() if end > self._starts[where]}
        while open_ends:
            self._consumer.assign(list(open_ends))
            for where in open_ends:
                self._consumer.seek(where, self._starts[where])
            async for records in self._drain(open_ends):
                yield records

    async def _drain(self, open_ends: dict[TopicPartition, int]) -> AsyncIterator[Records]:
        """Until all ends are reached; removes each partition from `open_ends` when it is."""
        loop = asyncio.get_running_loop()
        moved = loop.time()
        while open_ends:
            for where, records in (await self._fetched(open_ends)).items():
                moved = loop.time()
                yield [record for record in records if record.offset < self._ends[where]]
            for where in list(open_ends):
                if await self._consumer.position(where) >= open_ends[where]:
                    del open_ends[where]
            if loop.time() - moved > _STALLED_AFTER:
                raise BrokerUnavailable(f"{next(iter(open_ends)).topic}: nothing came for {_STALLED_AFTER:.0f} s")

    async def _fetched(self, open_ends: dict[TopicPartition, int]) -> dict[TopicPartition, Records]:
        try:
            found: dict[TopicPartition, Records] = await self._consumer.getmany(timeout_ms=1_000, max_records=2_000)
        except KafkaError as error:
            raise BrokerUnavailable(f"{next(iter(open_ends)).topic}: {type(error).__name__}: {error}") from error
        return found


async def _partitions(settings: Settings, names: Sequence[str]) -> dict[str, list[int]]:
    """Asked of the cluster: a consumer knows only the topics that it reads, and would call the others empty."""
    admin = await open_admin(settings)
    try:
        existing = set(await admin.list_topics())
        for name in names:
            if name not in existing:
                raise StartError(f"topic {name} does not exist (CREDITSTREAM_TOPIC_PREFIX?)")
        described = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return {topic["topic"]: [each["partition"] for each in topic["partitions"]] for topic in described}


class RemovedOrder(msgspec.Struct):
    """An order whose row was dropped with its month."""

    order_id: UUID
    fingerprint: bytes


_decode_removed = msgspec.json.Decoder(list[RemovedOrder]).decode


async def read_rows(settings: Settings) -> AsyncIterator[list[Row]]:
    """All rows, ordered by id, by the page. Raises StartError (the DSN is none) or StoreUnavailable."""
    after = {"order_id": str(UUID(int=0)), "created_at": datetime.min.replace(tzinfo=UTC), "limit": _PAGE}
    async with _pages(settings, "rows") as ask:
        while page := _decode_rows(await ask(after)):
            yield page
            after |= {"order_id": str(page[-1].order_id), "created_at": page[-1].created_at}


async def read_removed(settings: Settings) -> AsyncIterator[list[RemovedOrder]]:
    """All orders whose row went with its month, by the page. Raises as `read_rows`."""
    after: dict[str, object] = {"order_id": str(UUID(int=0)), "limit": _PAGE}
    async with _pages(settings, "removed") as ask:
        while page := _decode_removed(await ask(after)):
            yield page
            after |= {"order_id": str(page[-1].order_id)}


@asynccontextmanager
async def _pages(settings: Settings, name: str) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[str]]]:
    """Yields what gives the next page of the statement of that name."""
    check_dsn(settings.postgres_dsn, "CREDITSTREAM_POSTGRES_DSN")
    statement = files("creditstream.operations.audit").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")
    with translated():
        async with (
            await connect(settings.postgres_dsn.reveal()) as connection,
            connection.cursor(timeout=60) as cursor,
        ):

            async def ask(after: dict[str, Any]) -> str:
                await cursor.execute(statement, after)
                (page,) = await cursor.fetchone()
                return str(page)

            yield ask
