"""The limit: the same job in one loop written by hand, without a framework and without what a lender needs besides.

aiokafka, aiohttp, uvloop and sinks by the batch. It does the job: dedup in RocksDB with a changelog, one risk call, a
decision, rows in one transaction, a status record from each committed row, offsets committed behind the finished
prefix. It leaves out what makes a program of it: conflicts, dead letters, forwards, retries, a breaker, an adaptive
limit, recovery, fencing, "under review", metrics, a page. Nothing of creditstream is used.

LOOP_HTTP=httptools takes a bare socket and the parser httptools in place of aiohttp: what is left without a library
and without what it guards against. Settings are LOOP_… variables. Prints "ready" once it has its partitions.
"""

import asyncio
import gc
import os
import signal
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import aiohttp
import aiopg
import httptools
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from rocksdict import AccessType, Options, Rdict, WriteBatch
from yarl import URL

BROKERS = os.environ.get("LOOP_BROKERS", "127.0.0.1:9092")
GROUP = os.environ.get("LOOP_GROUP", "loop")
PREFIX = os.environ.get("LOOP_TOPIC_PREFIX", "")
RISK_URL = os.environ.get("LOOP_RISK_URL", "http://127.0.0.1:8090") + "/v1/assessments"
POSTGRES_DSN = os.environ.get("LOOP_POSTGRES_DSN", "")
DATA_DIR = os.environ.get("LOOP_DATA_DIR", ".local/loop")
ORDERS, STATUS, SEEN = PREFIX + "orders", PREFIX + "order-status", PREFIX + "seen-changelog"
CALLS, IN_FLIGHT, BATCH, FLUSH_EVERY, THRESHOLD = 512, 2_000, 500, 0.01, 600

CREATE = """
CREATE TABLE IF NOT EXISTS bench_orders (
    order_id uuid PRIMARY KEY, customer_id text NOT NULL, amount numeric NOT NULL, term_months int NOT NULL,
    product text NOT NULL, status text NOT NULL, score int NOT NULL, model_version text NOT NULL,
    created_at timestamptz NOT NULL, committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
INSERT = """
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS given (order_id uuid, customer_id text, amount numeric,
        term_months int, product text, status text, score int, model_version text, created_at timestamptz)
), inserted AS (
    INSERT INTO bench_orders SELECT * FROM given ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET order_id = excluded.order_id RETURNING *  -- the row that stands
)
SELECT coalesce(json_agg(inserted), '[]')::text FROM inserted
"""


class Order(msgspec.Struct, gc=False):
    """As it comes in."""

    order_id: UUID
    customer_id: str
    amount: Decimal
    term_months: int
    product: str
    created_at: datetime


class Assessment(msgspec.Struct, gc=False):
    """What the risk API says."""

    score: int
    model_version: str


class Row(msgspec.Struct, gc=False):
    """To the database, back from it, and out as the status record."""

    order_id: UUID
    customer_id: str
    amount: Decimal
    term_months: int
    product: str
    status: str
    score: int
    model_version: str
    created_at: datetime
    committed_at: datetime | None = None


decode_order = msgspec.json.Decoder(Order).decode
decode_assessment = msgspec.json.Decoder(Assessment).decode
decode_rows = msgspec.json.Decoder(list[Row]).decode
encode = msgspec.json.Encoder().encode


class Socket(asyncio.Protocol):
    """One connection, one call at a time, an answer in good order or none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.parser, self.body = transport, httptools.HttpResponseParser(self), b""

    def call(self, request: bytes) -> asyncio.Future[bytes]:
        self.transport.write(request)  # type: ignore[attr-defined]  # uvloop's transports have it
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        return self.answered

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        self.answered.set_result(body)


class Sockets:
    """As many connections as there are calls."""

    def __init__(self, url: URL) -> None:
        self.host, self.port = url.host, url.port
        self.head = f"POST {url.path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n".encode()
        self.free: list[Socket] = []

    async def post(self, order: Order) -> bytes:
        if self.free:
            socket = self.free.pop()
        else:
            _, socket = await asyncio.get_running_loop().create_connection(Socket, self.host, self.port)
        body = encode(order)
        key = str(order.order_id).encode()
        request = b"%bIdempotency-Key: %b\r\nContent-Length: %d\r\n\r\n%b" % (self.head, key, len(body), body)
        timer = asyncio.get_running_loop().call_later(3.0, socket.transport.abort)  # type: ignore[attr-defined]
        answer = await socket.call(request)
        timer.cancel()
        self.free.append(socket)
        return answer


class Session:
    """The same with aiohttp."""

    def __init__(self, url: URL) -> None:
        self.url, self.timeout = url, aiohttp.ClientTimeout(total=3.0)
        connector, headers = aiohttp.TCPConnector(limit=0), {"Content-Type": "application/json"}
        self.http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)

    async def post(self, order: Order) -> bytes:
        key = {"Idempotency-Key": str(order.order_id)}
        async with self.http.post(self.url, data=encode(order), headers=key, timeout=self.timeout) as response:
            response.raise_for_status()
            return await response.read()


class Loop:
    """Everything in one place, as a loop written by hand is."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[tuple[Order, TopicPartition, int]] = asyncio.Queue(IN_FLIGHT)
        self.decided: list[tuple[Row, TopicPartition, int]] = []
        self.wake = asyncio.Event()
        self.known: set[UUID] = set()
        self.next: dict[TopicPartition, int] = {}
        self.done: defaultdict[TopicPartition, set[int]] = defaultdict(set)
        self.seen = Rdict(DATA_DIR, Options(raw_mode=True), access_type=AccessType.read_write())

    async def run(self) -> None:
        self.consumer = AIOKafkaConsumer(
            ORDERS,
            bootstrap_servers=BROKERS,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self.producer = AIOKafkaProducer(bootstrap_servers=BROKERS, acks="all", max_batch_size=512 * 1024)
        client = Sockets if os.environ.get("LOOP_HTTP") == "httptools" else Session
        self.http = client(URL(RISK_URL))
        self.postgres = await aiopg.connect(POSTGRES_DSN)
        async with self.postgres.cursor() as cursor:
            await cursor.execute(CREATE)
        await self.consumer.start()
        await self.producer.start()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        print("ready", flush=True)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLS):
                tasks.create_task(self.score())
            tasks.create_task(self.settle())
            tasks.create_task(self.commit())
            await self.take()

    async def take(self) -> None:
        while True:
            for tp, records in (await self.consumer.getmany(timeout_ms=1_000, max_records=1_000)).items():
                self.next.setdefault(tp, records[0].offset)
                for record in records:
                    order = decode_order(record.value)
                    order_id = order.order_id
                    if order_id in self.known or self.seen.get(order_id.bytes) is not None:
                        self.done[tp].add(record.offset)
                        continue
                    self.known.add(order_id)
                    await self.waiting.put((order, tp, record.offset))

    async def score(self) -> None:
        while True:
            order, tp, offset = await self.waiting.get()
            said = decode_assessment(await self.http.post(order))
            status = "approved" if said.score >= THRESHOLD else "rejected"
            row = Row(
                order.order_id,
                order.customer_id,
                order.amount,
                order.term_months,
                order.product,
                status,
                said.score,
                said.model_version,
                order.created_at,
            )
            self.decided.append((row, tp, offset))
            self.wake.set()

    async def settle(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self.wake.wait()
            started = clock()
            batch, self.decided = self.decided[:BATCH], self.decided[BATCH:]
            if not self.decided:
                self.wake.clear()
            async with self.postgres.cursor() as cursor:
                await cursor.execute(INSERT, (encode([row for row, _, _ in batch]).decode(),))
                (rows,) = await cursor.fetchone()
            await self.publish({row.order_id: row for row in decode_rows(rows)}, batch)
            for row, tp, offset in batch:
                self.known.discard(row.order_id)
                self.done[tp].add(offset)
            await asyncio.sleep(max(0.0, started + FLUSH_EVERY - clock()))

    async def publish(self, rows: dict[UUID, Row], batch: list[tuple[Row, TopicPartition, int]]) -> None:
        """A batch for each partition: the statuses, the changelog of the ids; then the ids here."""
        partitions: defaultdict[int, list[Row]] = defaultdict(list)
        for row, tp, _ in batch:
            partitions[tp.partition].append(rows[row.order_id])
        sent, marks = [], WriteBatch(raw_mode=True)
        for partition, each in partitions.items():
            statuses, changes = self.producer.create_batch(), self.producer.create_batch()
            for row in each:
                statuses.append(key=str(row.order_id).encode(), value=encode(row), timestamp=None)
                changes.append(key=row.order_id.bytes, value=b"1", timestamp=None)
                marks.put(row.order_id.bytes, b"1")
            sent.append(await self.producer.send_batch(statuses, STATUS, partition=partition))
            sent.append(await self.producer.send_batch(changes, SEEN, partition=partition))
        await asyncio.gather(*sent)
        self.seen.write(marks)

    async def commit(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            offsets = {}
            for tp, done in self.done.items():
                position = self.next[tp]
                while position in done:
                    done.remove(position)
                    position += 1
                if position != self.next[tp]:
                    offsets[tp] = self.next[tp] = position
            if offsets:
                await self.consumer.commit(offsets)


async def main() -> None:
    work = asyncio.ensure_future(Loop().run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()
    os._exit(0)  # nothing is left to be saved: what is not committed comes again


if __name__ == "__main__":
    uvloop.run(main())
