"""Kafka as a scenario sees it: aiokafka's clients, and requests of its own. The model and the real one are told apart
by what stands behind `bootstrap` alone, and by who can lose an answer."""

import itertools
import uuid
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.offset import OffsetRequest_v2
from aiokafka.record.memory_records import MemoryRecords

from devtools.wait import wait_for_async

_MOST = 1024 * 1024


class FrailWay(Protocol):
    """To a server: what is lost takes its connection with it."""

    def lose_answer(self) -> None:
        """The next one. What was asked has been done by then."""
        ...

    def lose_request(self) -> None:
        """The next one. The server never has it."""
        ...


class AsIs:
    """A request of exactly this version, in place of aiokafka's that negotiate one."""

    def __init__(self, struct: Any) -> None:
        self.struct = struct

    def prepare(self, _versions: Any) -> Any:
        return self.struct


class Kafka:
    """One scenario's. `lose_answer()`, `lose_request()`: the next one of the client that is called `frail`."""

    frail = "frail"

    def __init__(self, bootstrap: str, way: FrailWay, copies: int = 1) -> None:
        self.bootstrap, self.copies = bootstrap, copies
        self.lose_answer, self.lose_request = way.lose_answer, way.lose_request
        self._open = AsyncExitStack()
        self._any: AIOKafkaClient | None = None
        self._prefix, self._numbers = uuid.uuid4().hex[:8], itertools.count()

    async def close(self) -> None:
        await self._open.aclose()

    def name(self) -> str:
        """That nobody has used."""
        return f"{self._prefix}-{next(self._numbers)}"

    async def client(self) -> AIOKafkaClient:
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap)
        await client.bootstrap()
        self._open.push_async_callback(client.close)
        return client

    async def ask(self, request: Any) -> Any:
        """The answer of the one broker, or of any."""
        self._any = self._any or await self.client()
        return await self._any.send(self._any.get_random_node(), request)

    async def group(self) -> str:
        """The name of a new one, whose coordinator is at work: a broker's first takes a moment."""
        name, client = self.name(), await self.client()

        async def is_at_work() -> bool:
            try:
                answer = await self.ask_of_group(client, name, HeartbeatRequest(name, 1, "nobody"))
            except KafkaError:
                return False
            return told(answer.error_code) == "UnknownMemberIdError"

        await wait_for_async(is_at_work, what="a coordinator")
        return name

    async def ask_of_group(self, client: Any, group: str, request: Any) -> Any:
        """Raises KafkaError."""
        return await client.send(await client.coordinator_lookup(CoordinationType.GROUP, group), request)

    async def admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        self._open.push_async_callback(admin.close)
        return admin

    async def topic(self, partitions: int = 1, **config: str) -> str:
        """A new one, which the broker knows."""
        name, admin = self.name(), await self.admin()
        settings = {key.replace("_", "."): value for key, value in config.items()}
        await admin.create_topics([NewTopic(name, partitions, self.copies, topic_configs=settings)])

        async def is_known() -> bool:
            [topic] = await admin.describe_topics([name])
            return len([each for each in topic["partitions"] if each["leader"] >= 0]) == partitions

        await wait_for_async(is_known, what="the new topic")
        return name

    async def producer(self, **options: Any) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **options)
        await producer.start()
        self._open.push_async_callback(producer.stop)
        return producer

    async def consumer(self, *topics: str, **options: Any) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.bootstrap, **options)
        await consumer.start()
        self._open.push_async_callback(consumer.stop)
        return consumer

    async def send(self, topic: str, *values: str) -> list[int]:
        """Each as a batch of its own, by a producer without transactions. Returns their offsets."""
        producer = await self.producer()
        return [(await producer.send_and_wait(topic, value.encode(), partition=0)).offset for value in values]

    async def ends(self, topic: str, *, isolation: int = 0) -> list[int]:
        """Of partition 0: where it starts, and where it ends for that isolation level."""
        return [
            (await self.ask(AsIs(OffsetRequest_v2(-1, isolation, [(topic, [(0, when)])])))).topics[0][1][0][3]
            for when in (-2, -1)
        ]

    async def fetch(self, topic: str, offset: int, *, isolation: int = 0, wait: int = 0) -> "Fetched":
        request = FetchRequest_v4(-1, wait, 1, _MOST, isolation, [(topic, [(0, offset, _MOST)])])
        return Fetched(await self.ask(AsIs(request)))


class Fetched:
    """What a broker has answered for one partition."""

    def __init__(self, response: Any) -> None:
        [(_, [(_, code, self.high, self.stable, aborted, self.raw)])] = response.topics
        self.error = told(code)
        self.aborted = sorted(first for _, first in aborted or ())
        records = MemoryRecords(self.raw)
        #: First offset and kind of each batch.
        self.batches: list[list[Any]] = []
        self.values: list[str] = []
        while records.has_next():
            batch = records.next_batch()
            self.batches.append([batch.base_offset, "marker" if batch.is_control_batch else "records"])
            self.values += [] if batch.is_control_batch else [record.value.decode() for record in batch]


def told(code: int) -> str:
    """An error's name."""
    return str(for_code(code).__name__)


async def refusal(call: Awaitable[Any]) -> str:
    """The name of the error that it ends in."""
    try:
        await call
    except KafkaError as error:
        return type(error).__name__
    return "NoError"
