"""Peer for the benchmark: the same job as Faust's own user guide would have it written, in one small app.

Run it with `python bench/guide_agent.py worker`. Its input must be keyed by order id, because its table is. Settings
are GUIDE_… variables; nothing of creditstream is used, so that nothing of it can help.
"""

import asyncio
import os
from typing import Any

import aiohttp
import aiopg
import faust

PARTITIONS = int(os.environ.get("GUIDE_PARTITIONS", "4"))
RISK_URL = os.environ.get("GUIDE_RISK_URL", "http://127.0.0.1:8090") + "/v1/assessments"
POSTGRES_DSN = os.environ.get("GUIDE_POSTGRES_DSN", "postgresql://creditstream@127.0.0.1:5432/creditstream")
THRESHOLD = 600

app = faust.App(
    os.environ.get("GUIDE_APP_ID", "guide-agent"),
    broker="kafka://" + os.environ.get("GUIDE_BROKERS", "127.0.0.1:9092"),
    store="rocksdb://?driver=rocksdict",
    datadir=os.environ.get("GUIDE_DATA_DIR", ".local/guide"),
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    web_enabled=False,
)


class Order(faust.Record, serializer="json"):
    """As the guide models a value: every field converted by faust.Record."""

    order_id: str
    customer_id: str
    amount: str
    term_months: int
    product: str
    created_at: str
    metadata: dict[str, Any] | None = None


class Status(faust.Record, serializer="json"):
    """What was decided."""

    order_id: str
    customer_id: str
    amount: str
    status: str
    score: int


orders = app.topic(os.environ.get("GUIDE_ORDERS_TOPIC", "orders"), value_type=Order)
statuses = app.topic(os.environ.get("GUIDE_STATUS_TOPIC", "guide-status"), value_type=Status, partitions=PARTITIONS)
seen = app.Table("seen", key_type=str, value_type=int, partitions=PARTITIONS)

CREATE = """
CREATE TABLE IF NOT EXISTS bench_orders (
    order_id uuid PRIMARY KEY, customer_id text, amount numeric, term_months int, product text, status text,
    score int, created_at timestamptz, committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
INSERT = """
INSERT INTO bench_orders (order_id, customer_id, amount, term_months, product, status, score, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (order_id) DO NOTHING
"""


class Clients:
    """The HTTP session and the connection pool, opened at the first order, and the output topic."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._opened = False
        self.http: aiohttp.ClientSession
        self.postgres: Any

    async def opened(self) -> "Clients":
        async with self._lock:
            if not self._opened:
                self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
                self.postgres = await aiopg.create_pool(POSTGRES_DSN, minsize=1, maxsize=20)
                async with self.postgres.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute(CREATE)
                await statuses.maybe_declare()
                self._opened = True
        return self

    async def close(self) -> None:
        if self._opened:
            await self.http.close()
            self.postgres.terminate()
            await self.postgres.wait_closed()


clients = Clients()


async def score(order: Order) -> int:
    http = (await clients.opened()).http
    async with http.post(RISK_URL, json=order.asdict(), headers={"Idempotency-Key": order.order_id}) as answer:
        answer.raise_for_status()
        return int((await answer.json())["score"])


async def store(order: Order, status: str, points: int) -> None:
    async with clients.postgres.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(
            INSERT,
            (
                order.order_id,
                order.customer_id,
                order.amount,
                order.term_months,
                order.product,
                status,
                points,
                order.created_at,
            ),
        )


@app.agent(orders, concurrency=64)
async def process(stream: Any) -> None:
    async for order in stream:
        if order.order_id in seen:
            continue
        points = await score(order)
        status = "approved" if points >= THRESHOLD else "rejected"
        await store(order, status, points)
        await statuses.send(
            key=order.order_id,
            value=Status(
                order_id=order.order_id,
                customer_id=order.customer_id,
                amount=order.amount,
                status=status,
                score=points,
            ),
        )
        seen[order.order_id] = 1


@app.on_before_shutdown.connect
async def close(*_: Any, signal: Any = None, **__: Any) -> None:  # noqa: ARG001 - as Faust calls it
    await clients.close()


if __name__ == "__main__":
    app.main()
