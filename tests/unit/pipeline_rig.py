"""A pipeline over fakes, driven step by step: nothing runs by itself."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from creditstream.errors import BrokerUnavailable
from creditstream.metrics.instruments import Instruments
from creditstream.order.brakes import Brakes
from creditstream.order.finish import Sinks
from creditstream.order.flights import Flights
from creditstream.order.home_partition import home_partition
from creditstream.order.outbox import Outbox
from creditstream.order.pipeline import Pipeline
from creditstream.order.policy import load_policy
from creditstream.order.ports import Outgoing, Place, Publishes, RetryTopic
from creditstream.order.reception import Limits
from creditstream.order.record import Record
from creditstream.order.retry import RetryRule
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.settlement import Settlement
from devtools.fakes import FakeRisk, FakeStore
from schemas import headers
from schemas.assessment import Assessment

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_BELIEVED = {"orders-by-id": headers.HOP, "orders-retry": headers.WAIT}
ROUTES = Routes(4, "orders-by-id", "order-status", "orders-retry", "orders-dead-letter", "seen-changelog")


class FakePublisher(Publishes):
    """Keeps what was published, per topic, in order; fails as often as it is told to."""

    def __init__(self) -> None:
        self.topics: dict[str, list[tuple[int, Outgoing]]] = defaultdict(list)
        self.failures = 0

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable("told to fail")
        for partition, outgoing in records.items():
            self.topics[topic] += [(partition, record) for record in outgoing]
        return {partition: len(self.topics[topic]) for partition in records}

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(record.value or b"") for _, record in self.topics[topic]]

    def reasons(self) -> list[str]:
        """The dead letters' reasons."""
        return [
            (dict(record.headers)["x-error-class"] or b"").decode() for _, record in self.topics["orders-dead-letter"]
        ]


class FakeRetryTopic(RetryTopic):
    """Keeps the records that were delivered, as Kafka does; `gone`: lost; `silent`: partitions that give nothing."""

    def __init__(self) -> None:
        self.records: dict[Place, Record] = {}
        self.gone: set[Place] = set()
        self.silent: set[int] = set()
        self.reads: list[list[Place]] = []
        self.failures = 0

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        self.reads.append(list(places))
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable("told to fail")
        given = [place for place in places if place.partition not in self.silent]
        return {place: None if place in self.gone else self.records[place] for place in given}

    def acknowledge(self, place: Place) -> None:
        self.records[place].acknowledge()


MAX_IN_FLIGHT = 100


class FakeTable:
    """A table's partitions as dicts; `offsets` of the changelog, as they were told with what was written."""

    def __init__(self) -> None:
        self.partitions: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.offsets: list[int] = []
        self.damaged: set[int] = set()

    def put(self, partition: int, items: Any, last_offset: int) -> None:
        self.partitions[partition].update(items)
        self.offsets.append(last_offset)

    def fingerprint(self, partition: int, order_id: UUID) -> bytes | None:
        return self.partitions[partition].get(order_id.bytes)

    def is_whole(self, partition: int) -> bool:
        return partition not in self.damaged


class Rig:
    """One worker's pipeline; `store` and `publisher` may be shared with another worker's."""

    def __init__(
        self,
        *,
        store: FakeStore | None = None,
        publisher: FakePublisher | None = None,
        status_publisher: Publishes | None = None,
        retry: RetryRule | None = None,
        retry_topic: "FakeRetryTopic | None" = None,
    ) -> None:
        """`status_publisher`: when statuses go another way than the rest."""
        self.store, self.risk = store or FakeStore(), FakeRisk()
        self.publisher = publisher or FakePublisher()
        self.seen = FakeTable()
        self.time, self.now, self.lease_holds = 0.0, NOW, True
        self.acknowledged: list[tuple[str, int, int]] = []
        self.outbox = Outbox(self.publisher)
        self.retry_topic = retry_topic or FakeRetryTopic()
        self.metrics = Instruments()
        self.brakes = Brakes(monotonic=lambda: self.time)
        self.flights = Flights(self.brakes, self.metrics)
        self.settlement = Settlement(
            routes=ROUTES,
            store=self.store,
            sinks=Sinks(self.publisher, status_publisher or self.publisher, self.seen),
            flights=self.flights,
            lease_holds=lambda: self.lease_holds,
            metrics=self.metrics,
            now=lambda: self.now,
        )
        self.scoring = Scoring(
            concurrency=4,
            store=self.store,
            risk=self.risk,
            policy=load_policy(None),
            retry=retry or RetryRule(30.0, 3, 3_600.0),
            settlement=self.settlement,
            metrics=self.metrics,
            now=lambda: self.now,
        )
        self.pipeline = Pipeline(
            limits=Limits(MAX_IN_FLIGHT, 1.0, 262_144, 86_400.0),
            routes=ROUTES,
            seen=self.seen,
            flights=self.flights,
            scoring=self.scoring,
            settlement=self.settlement,
            outbox=self.outbox,
            retry_topic=self.retry_topic,
            brakes=self.brakes,
            metrics=self.metrics,
            monotonic=lambda: self.time,
            now=lambda: self.now,
        )

        self.pipeline.own(frozenset(range(ROUTES.partitions)))

    async def run(self, steps: int = 4) -> None:
        """Let everything that waits take its next steps."""
        for _ in range(steps):
            if self.pipeline._backpressure.has_room():
                await self.pipeline.start_due()
            await self.scoring.look_up_once()
            while not self.scoring._unscored.empty():
                await self.scoring.score_once()
            await self.settlement.commit_once()
            await self.settlement.finish_once()
            self.pipeline.judge_again()
            await self.outbox.run_once()

    def answer(self, value: bytes, *answers: Assessment | Exception) -> None:
        """What the risk API says of this order, one answer a call."""
        self.risk.script(id_of(value), *answers)

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self.now += timedelta(seconds=seconds)
        self.pipeline.tick()

    def end_lease(self) -> None:
        """No heartbeat is answered any more."""
        self.lease_holds = False

    def accept_retry(self, record: Record) -> None:
        """`orders-retry` has the record, and its agent hands it on."""
        self.retry_topic.records[Place(record.partition, record.offset)] = record
        self.pipeline.accept_retry(record)

    def record(
        self,
        value: bytes | None,
        *,
        offset: int = 0,
        partition: int | None = None,
        replayed: bool = False,
        topic: str = "orders",
        headers: Any = (),
        key: bytes | None = None,
    ) -> Record:
        where = home_of(value) if partition is None else partition
        return Record(
            topic=topic,
            partition=where,
            offset=offset,
            timestamp_ms=int(NOW.timestamp() * 1000),
            key=key,
            value=value,
            headers=tuple(headers),
            believed=_BELIEVED.get(topic, frozenset()),
            replayed=replayed,
            acknowledge=lambda: self.acknowledged.append((topic, where, offset)),
        )


def order_json(order_id: UUID | str | None = None, **fields: Any) -> bytes:
    order = {
        "order_id": str(order_id or uuid4()),
        "customer_id": "c-1",
        "amount": "1500.00",
        "term_months": 12,
        "product": "personal_loan",
        "created_at": "2026-11-24T10:00:00Z",
    }
    return msgspec.json.encode({**order, **fields})


def id_of(value: bytes) -> UUID:
    return UUID(msgspec.json.decode(value)["order_id"])


def home_of(value: bytes | None) -> int:
    try:
        return home_partition(id_of(value or b""), ROUTES.partitions)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return 0


def scored(score: int) -> Assessment:
    return Assessment(score=score, reasons=("a reason",), model_version="fake-1")


async def turns(count: int = 10) -> None:
    """Of the event loop: whatever can go on goes on."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)
