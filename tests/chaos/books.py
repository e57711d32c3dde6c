"""Reads the books of a run, by drivers alone: topics from their first record, PostgreSQL, the risk API's journal."""

import asyncio
import json
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extras
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.chaos.evidence import Books, Call, Logged, Sent

_READ_WITHIN = 180.0
_MAX_FETCH = 6 * 1024 * 1024


async def read_books(environ: Mapping[str, str], sent: list[Sent], risk_url: str) -> Books:
    """`environ` says where Kafka and PostgreSQL are."""
    brokers, dsn = environ["CREDITSTREAM_KAFKA_BROKERS"], environ["CREDITSTREAM_POSTGRES_DSN"]
    orders, letters, statuses = [
        await read_topic(brokers, name) for name in ("orders", "orders-dead-letter", "order-status")
    ]
    keys = [row["order_id"] for row in await asyncio.to_thread(read_table, dsn, "order_keys")]
    rows = await asyncio.to_thread(read_table, dsn, "orders")
    calls = await asyncio.to_thread(_read_calls, risk_url)
    return Books(sent, orders, letters, statuses, keys, rows, calls)


async def read_topic(brokers: str, topic: str) -> list[Logged]:
    """Every record, as it was written."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, max_partition_fetch_bytes=_MAX_FETCH, fetch_max_wait_ms=50
    )
    await consumer.start()
    try:
        async with asyncio.timeout(_READ_WITHIN):
            return await _read_to_end(consumer, topic)
    finally:
        await consumer.stop()


async def _read_to_end(consumer: AIOKafkaConsumer, topic: str) -> list[Logged]:
    await consumer._client.add_topic(topic)  # until it is asked for, its partitions are not known
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise LookupError(f"there is no topic {topic}")
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    consumer.assign(partitions)
    for partition in partitions:
        if starts[partition]:
            raise LookupError(f"{partition} does not begin at 0: the book is not complete")
        consumer.seek(partition, 0)
    found: list[Logged] = []
    while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
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
