"""The books of an audit as they are after millions of orders, written as fast as they can be: topics and rows."""

import asyncio
import random
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import IO, NamedTuple, cast
from uuid import UUID

import msgspec
import psycopg2
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.fill import INDEXES
from creditstream.config.load import load_settings
from creditstream.kafka.client import client_options
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, topic_name
from schemas.order import Order
from schemas.status import Row, encode_status

_CHUNK = 50_000
_COLUMNS = (
    "order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version, "
    "policy_version, metadata, created_at, updated_at, version, fingerprint"
)
#: Enough for a machine that does nothing else.
_PRODUCER = (
    "--producer-property", "acks=1", "--producer-property", "linger.ms=50", "--producer-property", "batch.size=262144",
    "--producer-property", "compression.type=lz4",
)  # fmt: skip


class Chunk(NamedTuple):
    """Lines for each of the four books."""

    orders: bytes
    statuses: bytes
    rows: str
    keys: str


def chunks(orders: int, seed: int = 1) -> Iterator[Chunk]:
    """The same orders for the same seed: decided, each with one status."""
    dice = random.Random(seed)  # noqa: S311 - the same orders for the same seed
    now = datetime.now(UTC)
    for start in range(0, orders, _CHUNK):
        many = [_order(dice, now) for _ in range(min(_CHUNK, orders - start))]
        yield _chunk(many)


def _order(dice: random.Random, now: datetime) -> Order:
    return Order(
        order_id=UUID(int=dice.getrandbits(128), version=4),
        customer_id=f"c-{dice.randrange(5000)}",
        amount=Decimal(dice.randrange(10_000, 5_000_000)).scaleb(-2),
        term_months=dice.randrange(6, 60),
        product="personal_loan",
        created_at=now - timedelta(microseconds=dice.randrange(1, 25 * 86_400_000_000)),
        metadata={"channel": "app"},
    )


def _chunk(orders: list[Order]) -> Chunk:
    rows = [_row(order) for order in orders]
    return Chunk(
        b"".join(msgspec.json.encode(order) + b"\n" for order in orders),
        b"".join(f"{row.order_id}\t".encode() + encode_status(row) + b"\n" for row in rows),
        "".join(_line(row) for row in rows),
        "".join(f"{row.order_id}\t{row.created_at.isoformat()}\t\\\\x{row.fingerprint.hex()}\n" for row in rows),
    )


def _row(order: Order) -> Row:
    approved = order.term_months % 3 > 0
    return Row(
        order_id=order.order_id,
        customer_id=order.customer_id,
        amount=order.amount,
        term_months=order.term_months,
        product=order.product,
        status="approved" if approved else "rejected",
        score=700 if approved else 300,
        reason="score_above_threshold" if approved else "score_below_threshold",
        model_version="simulated-1",
        policy_version="1",
        created_at=order.created_at,
        updated_at=order.created_at + timedelta(seconds=1),
        version=1,
        fingerprint=order.fingerprint(),
    )


def _line(row: Row) -> str:
    return (
        f"{row.order_id}\t{row.customer_id}\t{row.amount}\t{row.term_months}\t{row.product}\t{row.status}\t{row.score}\t"
        f'{row.reason}\t[]\t{row.model_version}\t{row.policy_version}\t{{"channel": "app"}}\t'
        f"{row.created_at.isoformat()}\t{row.updated_at.isoformat()}\t{row.version}\t\\\\x{row.fingerprint.hex()}\n"
    )


def fill_books(environ: dict[str, str], tools: Path, orders: int) -> None:
    """Into the topics and the database that the settings name; the group has read all of it afterwards."""
    settings = load_settings(environ)
    with (
        producer(tools, settings.kafka_brokers, topic_name(settings, ORDERS)) as of_orders,
        producer(tools, settings.kafka_brokers, topic_name(settings, ORDER_STATUS), "--property", "parse.key=true")
        as of_statuses,
        closing(psycopg2.connect(settings.postgres_dsn.reveal())) as connection,
        connection.cursor() as cursor,
    ):  # fmt: skip
        connection.autocommit = True
        cursor.execute("SELECT ensure_orders_partition(now()), ensure_orders_partition(now() - interval '25 days')")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for drop, _ in indexes:
            cursor.execute(drop)
        for number, chunk in enumerate(chunks(orders), start=1):
            of_orders.write(chunk.orders)
            of_statuses.write(chunk.statuses)
            cursor.copy_expert(f"COPY orders ({_COLUMNS}) FROM STDIN", StringIO(chunk.rows))
            cursor.copy_expert("COPY order_keys FROM STDIN", StringIO(chunk.keys))
            print(f"\rfilled: {min(number * _CHUNK, orders):,} of {orders:,}", end="", flush=True)
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, create in indexes:
            cursor.execute(create)
        cursor.execute("VACUUM ANALYZE")
        print()
    asyncio.run(_pass_all(environ))


@contextmanager
def producer(tools: Path, brokers: str, topic: str, *more: str) -> Iterator[IO[bytes]]:
    """Kafka's own console producer: what is written is one record a line."""
    command = [
        str(tools / "kafka-console-producer"),
        "--bootstrap-server",
        brokers,
        "--topic",
        topic,
        *_PRODUCER,
        *more,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        stdin = cast(IO[bytes], process.stdin)
        yield stdin
        stdin.close()
        if process.wait():
            raise SystemExit(f"creditstream: kafka-console-producer ended with {process.returncode}")


async def _pass_all(environ: dict[str, str]) -> None:
    """The group has read `orders` to its end."""
    settings = load_settings(environ)
    consumer = AIOKafkaConsumer(**client_options(settings), group_id=settings.group, enable_auto_commit=False)
    await consumer.start()
    try:
        where = [TopicPartition(topic_name(settings, ORDERS), number) for number in range(settings.partitions)]
        consumer.assign(where)
        await consumer.commit(await consumer.end_offsets(where))
    finally:
        await consumer.stop()
