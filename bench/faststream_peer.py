"""Peer: FastStream as its docs show it: a pydantic model, `max_workers`, a publisher decorator, a lifespan.

FastStream has no table: the primary key drops what was already seen. Settings are PEER_… variables.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiohttp
import aiopg
from faststream import ContextRepo, FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

RISK_URL = os.environ["PEER_RISK_URL"] + "/v1/assessments"
THRESHOLD = 600
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


class Order(BaseModel):
    """As it comes in."""

    order_id: UUID
    customer_id: str
    amount: Decimal
    term_months: int
    product: str
    created_at: datetime


class Status(BaseModel):
    """What was decided."""

    order_id: UUID
    customer_id: str
    amount: Decimal
    status: str
    score: int


@asynccontextmanager
async def lifespan(context: ContextRepo) -> AsyncIterator[None]:  # noqa: ARG001 - as FastStream calls it
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        aiopg.create_pool(os.environ["PEER_POSTGRES_DSN"], minsize=1, maxsize=20) as postgres,
    ):
        async with postgres.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(CREATE)
        clients.update(http=http, postgres=postgres)
        yield


clients: dict[str, Any] = {}
broker = KafkaBroker(os.environ["PEER_BROKERS"])
app = FastStream(broker, lifespan=lifespan)


async def score(order: Order) -> int:
    key = {"Idempotency-Key": str(order.order_id)}
    async with clients["http"].post(RISK_URL, json=order.model_dump(mode="json"), headers=key) as answer:
        answer.raise_for_status()
        return int((await answer.json())["score"])


@broker.subscriber(
    os.environ["PEER_ORDERS_TOPIC"], group_id=os.environ["PEER_GROUP"], auto_offset_reset="earliest", max_workers=64
)
@broker.publisher(os.environ["PEER_STATUS_TOPIC"])
async def process(order: Order) -> Status:
    points = await score(order)
    status = "approved" if points >= THRESHOLD else "rejected"
    async with clients["postgres"].acquire() as connection, connection.cursor() as cursor:
        row = (str(order.order_id), order.customer_id, order.amount, order.term_months, order.product)
        await cursor.execute(INSERT, (*row, status, points, order.created_at))
    return Status(
        order_id=order.order_id, customer_id=order.customer_id, amount=order.amount, status=status, score=points
    )


@app.after_startup
async def ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(app.run())
