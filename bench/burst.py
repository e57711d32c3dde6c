"""One measurement: so many orders at once, from the first record produced to the last row committed."""

import asyncio
import statistics
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg2

from bench.contenders import Contender, Place
from creditstream.config.load import load_settings
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import ORDERS, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from creditstream.simulation.mix import SPAN, Line, make_mix
from devtools.stack import Stack
from devtools.stack.product import prepare_product

#: Records of one produced batch.
_FLUSH = 1_000
_POLL = 0.1
_GIVE_UP_AFTER = 300.0


C = TypeVar("C", bound=Contender)


class Measured(msgspec.Struct):
    """One burst. `cpu_us`: the process's own, per order; latencies from produced to committed; `rss_mb`: its peak."""

    orders_per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    risk_calls: float
    transactions: float


def a_place(stack: Stack, name: str, root: Path, given: Mapping[str, str] | None = None) -> Place:
    """A database and topics of its own on the stack."""
    label = f"{name}-{uuid.uuid4().hex[:8]}"
    dsn = stack.environment()["CREDITSTREAM_POSTGRES_DSN"]
    database = label.replace("-", "_")
    ask(dsn, f"CREATE DATABASE {database}")
    environ = {
        **stack.environment(),
        "CREDITSTREAM_POSTGRES_DSN": dsn.rpartition("/")[0] + f"/{database}",
        "CREDITSTREAM_POSTGRES_REPLICA_DSN": "",
        "CREDITSTREAM_TOPIC_PREFIX": f"{label}-",
        "CREDITSTREAM_GROUP": label,
        **(given or {}),
    }
    prepare_product(environ)
    return Place(environ, root / label)


def leave(stack: Stack, place: Place) -> None:
    """Its database goes; its topics go with the stack."""
    database = place.dsn.rpartition("/")[2]
    ask(stack.environment()["CREDITSTREAM_POSTGRES_DSN"], f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@contextmanager
def at_work(stack: Stack, contender: C) -> Iterator[C]:
    """It runs inside; afterwards neither it nor its place is there."""
    contender.start()
    try:
        yield contender
    finally:
        contender.stop()
        leave(stack, contender.place)


def words(measured: Measured) -> str:
    """One line for whoever watches."""
    return (
        f"{measured.orders_per_second:,.0f} orders/s, {measured.cpu_us:,.0f} µs CPU per order, "
        f"p50 {measured.p50_ms:,.0f} ms, p99 {measured.p99_ms:,.0f} ms, {measured.rss_mb:,.0f} MB"
    )


def some_orders(orders: int, seed: int) -> list[Line]:
    """Different ones for each seed, with ids that no other run has."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return make_mix(orders, 0, 0, 0, seed, now=today + SPAN)


def burst(contender: Contender, lines: Sequence[Line], rate: float = 0.0) -> Measured:
    """Produce `lines`, keyed by order id, all at once or at `rate` a second; wait for the last row."""
    place, orders = contender.place, len(lines)
    with closing(psycopg2.connect(place.dsn)) as connection:
        connection.autocommit = True
        had = _count(connection, contender)
        calls, transactions = _calls(place), _transactions(connection)
        cpu, started = contender.cpu_seconds(), time.monotonic()
        produced = asyncio.run(produce(place, lines, rate))
        while (done := _count(connection, contender) - had) < orders:
            if time.monotonic() > started + _GIVE_UP_AFTER or contender.has_ended():
                raise SystemExit(f"creditstream: {place.folder.name} decided {done} of {orders} orders, then no more")
            time.sleep(_POLL)
        latencies = _latencies(connection, contender, produced)
        last = max(moment for _, moment in latencies)
        transactions = _transactions(connection) - transactions
        cuts = statistics.quantiles([latency for latency, _ in latencies], n=100, method="inclusive")
    cpu = contender.cpu_seconds() - cpu
    first = min(produced.values())
    return Measured(
        orders_per_second=orders / (last - first),
        cpu_us=cpu / orders * 1e6,
        p50_ms=cuts[49] * 1e3,
        p99_ms=cuts[98] * 1e3,
        rss_mb=contender.peak_rss_mb(),
        risk_calls=(_calls(place) - calls) / orders,
        transactions=transactions / orders,
    )


def _count(connection: Any, contender: Contender) -> int:
    try:
        return int(_one(connection, contender.count))
    except psycopg2.errors.UndefinedTable:  # some make it with their first order
        return 0


def _latencies(connection: Any, contender: Contender, produced: dict[str, float]) -> list[tuple[float, float]]:
    """Seconds from produced to committed, and when that was, of each order of this burst."""
    with connection.cursor() as cursor:
        cursor.execute(contender.rows)
        return [(moment - produced[key], moment) for key, moment in cursor if key in produced]


async def produce(place: Place, lines: Sequence[Line], rate: float) -> dict[str, float]:
    """When each order was produced: the clock is this machine's, as PostgreSQL's is."""
    settings = load_settings(place.environ)
    topic, produced = topic_name(settings, ORDERS), {}
    size = max(1, int(rate / 100)) if rate else _FLUSH
    publisher = await Publisher.open(settings)
    try:
        started = time.monotonic()
        for at in range(0, len(lines), size):
            flush = lines[at : at + size]
            produced.update(dict.fromkeys((str(line.order_id) for line in flush), time.time()))
            await publisher.publish(topic, _placed(flush, settings.partitions))
            if rate:
                await asyncio.sleep(max(0.0, started + (at + size) / rate - time.monotonic()))
    finally:
        await publisher.close()
    return produced


def _placed(lines: Sequence[Line], partitions: int) -> dict[int, list[Outgoing]]:
    placed: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for line in lines:
        if line.order_id:
            home = home_partition(line.order_id, partitions)
            placed[home].append(Outgoing(str(line.order_id).encode(), line.value))
    return placed


def _calls(place: Place) -> int:
    url = place.environ["CREDITSTREAM_RISK_URL"] + "/journal"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(msgspec.json.decode(answer.read())["calls"])


def _transactions(connection: Any) -> int:
    """Transactions of the whole server that wrote something, so far: only the contender writes, once a statement."""
    return int(_one(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


def ask(dsn: str, statement: str) -> Any:
    """The first value that the statement gives, or None."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        return _one(connection, statement)


def _one(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None
