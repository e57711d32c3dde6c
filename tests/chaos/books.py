"""Reads the books of a run, by drivers alone: topics from their first record, PostgreSQL, the risk API's journal."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from types import MappingProxyType
from typing import Any

import psycopg2
import psycopg2.extras
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from devtools.wait import wait_for_async
from tests.chaos.evidence import Books, Call, Logged, Purpose, Sent

_READ_WITHIN = 180.0
_MAX_FETCH = 6 * 1024 * 1024
_FROM_0: Mapping[int, int] = MappingProxyType({})


class StatusBook:
    """Every record ever on `order-status`: what growth removes is read before."""

    def __init__(self, brokers: str, prefix: str = "") -> None:
        """`prefix`: before the topic's name."""
        self._brokers, self.topic = brokers, f"{prefix}order-status"
        self.records: list[Logged] = []
        self._era = 0
        self._read_to: dict[int, int] = {}
        self._removed_to: dict[int, int] = {}

    async def read_on(self) -> None:
        """From where the last reading ended. Raises LookupError when records are gone that were not read."""
        for record in await read_topic(self._brokers, self.topic, self._read_to):
            self.records.append(record._replace(era=self._era))
            self._read_to[record.partition] = record.offset + 1

    async def close_era(self) -> None:
        """Before each try of a growth, with no worker there: what comes from now on may stand elsewhere."""
        await self.read_on()
        self._era += 1

    async def note_removals(self) -> None:
        """After a growth. A broker that is killed soon after it has all back that was removed, and nobody's copy says
        otherwise where there is one broker (docs/how-to/add-partitions.md)."""

        async def is_noted() -> bool:
            try:
                self._removed_to = await read_beginnings(self._brokers, self.topic)
            except (KafkaError, OSError, TimeoutError):  # it is killed at this moment
                return False
            return True

        await wait_for_async(is_noted, _READ_WITHIN, "Kafka tells where order-status begins")

    async def begins(self) -> dict[int, int]:
        """Where each partition begins, by what was removed on purpose."""
        now = await read_beginnings(self._brokers, self.topic)
        return {partition: max(offset, self._removed_to.get(partition, 0)) for partition, offset in now.items()}


async def read_books(
    environ: Mapping[str, str], sent: list[Sent], risk_url: str, statuses: StatusBook, purpose: Purpose
) -> Books:
    """`environ` says where Kafka and PostgreSQL are."""
    brokers, dsn = environ["CREDITSTREAM_KAFKA_BROKERS"], environ["CREDITSTREAM_POSTGRES_DSN"]
    prefix = environ.get("CREDITSTREAM_TOPIC_PREFIX", "")
    orders = await read_topic(brokers, f"{prefix}orders")
    # To forget somebody, the letters' beginning is written anew behind their end, and removed.
    letters = await read_topic(brokers, f"{prefix}orders-dead-letter", None if purpose.forgotten else _FROM_0)
    await statuses.read_on()
    begins = await statuses.begins()
    keys = [row["order_id"] for row in await asyncio.to_thread(read_table, dsn, "order_keys")]
    rows = await asyncio.to_thread(read_table, dsn, "orders")
    calls = await asyncio.to_thread(_read_calls, risk_url)
    return Books(sent, orders, letters, statuses.records, keys, rows, calls, begins, purpose)


async def read_topic(brokers: str, topic: str, since: Mapping[int, int] | None = _FROM_0) -> list[Logged]:
    """Every record, as it was written; by partition, from the offset in `since`, else from 0.

    None: from wherever the topic begins. Raises LookupError when it begins later than that.
    """
    async with _reading(brokers) as consumer, asyncio.timeout(_READ_WITHIN):
        return await _read_to_end(consumer, topic, since)


async def read_beginnings(brokers: str, topic: str) -> dict[int, int]:
    """The first offset that is there, by partition."""
    async with _reading(brokers) as consumer, asyncio.timeout(_READ_WITHIN):
        starts = await consumer.beginning_offsets(await _partitions(consumer, topic))
        return {place.partition: offset for place, offset in starts.items()}


@asynccontextmanager
async def _reading(brokers: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, max_partition_fetch_bytes=_MAX_FETCH, fetch_max_wait_ms=50
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    await consumer._client.add_topic(topic)  # until it is asked for, its partitions are not known
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise LookupError(f"there is no topic {topic}")
    return partitions


async def _read_to_end(consumer: AIOKafkaConsumer, topic: str, since: Mapping[int, int] | None) -> list[Logged]:
    partitions = await _partitions(consumer, topic)
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    consumer.assign(partitions)
    for place in partitions:
        wanted = starts[place] if since is None else since.get(place.partition, 0)
        if starts[place] > wanted:
            raise LookupError(f"{place} begins at {starts[place]}, not at {wanted}: the book is not complete")
        consumer.seek(place, wanted)
    found: list[Logged] = []
    while any([await consumer.position(place) < ends[place] for place in partitions]):
        for messages in (await consumer.getmany(timeout_ms=500)).values():
            found += [_logged(message) for message in messages]
    return found


def _logged(message: Any) -> Logged:
    headers = {name: bytes(value).decode(errors="replace") for name, value in message.headers}
    return Logged(message.partition, message.offset, message.key, message.value, headers)


def read_table(dsn: str, table: str) -> list[dict[str, Any]]:
    """All rows of a table, with ids as UUID."""
    with (
        closing(psycopg2.connect(dsn, connect_timeout=5)) as connection,
        connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
    ):
        psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
        cursor.execute(f"SELECT * FROM {table}")
        return [dict(row) for row in cursor.fetchall()]


def _read_calls(risk_url: str) -> dict[str, list[Call]]:
    with urllib.request.urlopen(f"{risk_url}/journal?full=1", timeout=60) as answer:
        return {key: [Call(*call) for call in calls] for key, calls in json.loads(answer.read()).items()}
