"""Topics of a test's own, records in and out; with aiokafka for speed and Kafka's own console producer for truth."""

import asyncio
import subprocess
import threading
import uuid
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from creditstream.config.settings import Settings
from creditstream.kafka.topics import all_topics, create_topics, topic_name
from tests.support.servers import Servers
from tests.support.topic_reading import Record, partition_numbers, read_to_end

T = TypeVar("T")
#: A JVM starts in one to three seconds; the rest is for a loaded machine.
_CONSOLE_WITHIN = 120.0
_READ_WITHIN = 60.0
#: As creditstream.kafka.client.MAX_REQUEST_BYTES.
_MAX_REQUEST = 6 * 1024 * 1024


class Sent(NamedTuple):
    """A whole record to send, as aiokafka's `send` takes it."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: Any = None


class Topics:
    """The product's topics under a prefix that no other test has. Names are without the prefix."""

    def __init__(self, servers: Servers, partitions: int = 4) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:10]}-"
        self.partitions = partitions
        self._servers = servers

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka_brokers=self._servers.brokers,
            kafka_replication_factor=self._servers.replication_factor,
            topic_prefix=self.prefix,
            partitions=self.partitions,
        )

    @property
    def brokers(self) -> str:
        return self._servers.brokers

    def name(self, topic: str) -> str:
        """On the broker."""
        return topic_name(self.settings, topic)

    def create(self) -> None:
        run(create_topics(self.settings))

    def delete(self) -> None:
        run(_delete(self._servers.brokers, [self.name(topic.name) for topic in all_topics(self.settings)]))

    def produce_lines(self, topic: str, lines: Iterable[str | bytes], *options: str) -> None:
        """One record without a key per line, by the real kafka-console-producer."""
        text = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        command = [str(self._servers.tools / "kafka-console-producer"), "--bootstrap-server", self._servers.brokers]
        done = subprocess.run(
            [*command, "--topic", self.name(topic), *options],
            input=text,
            capture_output=True,
            timeout=_CONSOLE_WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert b"ERROR" not in done.stderr, done.stderr.decode(errors="replace")

    def send_lines(self, topic: str, lines: Iterable[str]) -> None:
        """The same records, without a JVM: for tests that are not about how they come."""
        self.produce(topic, [(None, line.encode()) for line in lines])

    def produce(
        self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> list[tuple[int, int]]:
        """(key, value) pairs, acknowledged. Returns each one's partition and offset."""
        return run(self.aproduce(topic, records, partition))

    async def aproduce(
        self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> list[tuple[int, int]]:
        """`produce` inside a running loop."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers.brokers, acks="all", max_request_size=_MAX_REQUEST, linger_ms=5
        )
        await producer.start()
        try:
            name = self.name(topic)
            sent = [await producer.send(name, key=key, value=value, partition=partition) for key, value in records]
            done = [await future for future in sent]
        finally:
            await producer.stop()
        return [(metadata.partition, metadata.offset) for metadata in done]

    def send(self, topic: str, records: Iterable[Sent], **options: Any) -> list[tuple[int, int]]:
        """Whole records by a producer with those options, each one's partition and offset."""
        return run(self._send(topic, list(records), options))

    async def _send(self, topic: str, records: list[Sent], options: dict[str, Any]) -> list[tuple[int, int]]:
        usual = {"acks": "all", "max_request_size": 4 * _MAX_REQUEST, "linger_ms": 5}
        producer = AIOKafkaProducer(bootstrap_servers=self._servers.brokers, **(usual | options))
        await producer.start()
        try:
            sent = [await producer.send(self.name(topic), **record._asdict()) for record in records]
            done = [await future for future in sent]
        finally:
            await producer.stop()
        return [(metadata.partition, metadata.offset) for metadata in done]

    def written(self, topic: str) -> int:
        """How many records were ever written to it."""
        return run(self._written(topic))

    async def _written(self, topic: str) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers.brokers)
        await consumer.start()
        try:
            name = self.name(topic)
            partitions = [TopicPartition(name, number) for number in await partition_numbers(consumer, name)]
            return sum((await consumer.end_offsets(partitions)).values())
        finally:
            await consumer.stop()

    def remove_all(self, topic: str) -> int:
        """All records that are there, as Kafka's retention does it. How many offsets are gone by now."""
        return run(self._remove_all(topic))

    async def _remove_all(self, topic: str) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers.brokers)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers.brokers)
        await consumer.start()
        try:
            await admin.start()
            name = self.name(topic)
            partitions = [TopicPartition(name, number) for number in await partition_numbers(consumer, name)]
            ends = {where: end for where, end in (await consumer.end_offsets(partitions)).items() if end}
            if ends:
                await admin.delete_records({where: RecordsToDelete(end) for where, end in ends.items()})
            return sum(ends.values())
        finally:
            await admin.close()
            await consumer.stop()

    def consume_all(self, topic: str) -> list[Record]:
        """Everything from the beginning to the end as it is now, by partition and offset."""
        return run(self.aconsume_all(topic))

    async def aconsume_all(self, topic: str) -> list[Record]:
        """`consume_all` inside a running loop."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers.brokers, enable_auto_commit=False, max_partition_fetch_bytes=_MAX_REQUEST
        )
        await consumer.start()
        try:
            async with asyncio.timeout(_READ_WITHIN):
                return await read_to_end(consumer, self.name(topic))
        finally:
            await consumer.stop()


async def _delete(brokers: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_topics(sorted(set(names) & set(await admin.list_topics())))
    finally:
        await admin.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, from code with or without a running loop: it gets a thread and a loop of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=target, name="tests.support.kafka.run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
