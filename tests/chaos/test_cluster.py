"""Three Kafka nodes make one cluster that goes on without one of them; a server ends by the signal that is asked."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devtools.stack import Ports, Stack
from devtools.stack.service import silent
from tests.chaos.books import read_topic
from tests.support.servers import LOCAL

_WITHIN = 60.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Stack]:
    more = [(ports.kafka, ports.kafka_controller) for ports in (Ports.free(), Ports.free())]
    only = {"kafka", "kafka-2", "kafka-3"}
    stack = Stack(tmp_path, Ports.free(), cache=LOCAL / "cache", only=only, more_kafka=more, brief=True)
    try:
        stack.up()
        yield stack
    finally:
        for service in stack.services:
            service.stop(signal.SIGKILL)  # the last of a cluster waits in vain for the others to take over
        stack.clean()


async def create_and_fill(brokers: str, values: list[bytes]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        assert len((await admin.describe_cluster())["brokers"]) == 3
        answer = await admin.create_topics([NewTopic("t", 6, 3)])
        assert not any(code for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()
    await fill(brokers, values)


async def fill(brokers: str, values: list[bytes]) -> None:
    async with asyncio.timeout(_WITHIN), AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait("t", value)


def test_a_cluster_of_three_works_without_one_of_them(cluster: Stack) -> None:
    environ = cluster.environment()
    brokers = environ["CREDITSTREAM_KAFKA_BROKERS"]
    assert (len(brokers.split(",")), environ["CREDITSTREAM_KAFKA_REPLICATION_FACTOR"]) == (3, "3")
    before, after = [b"%d" % number for number in range(30)], [b"%d" % number for number in range(30, 60)]
    asyncio.run(create_and_fill(brokers, before))
    second = cluster.services[1]
    second.stop(signal.SIGKILL)
    asyncio.run(fill(brokers, after))
    assert {record.value for record in asyncio.run(read_topic(brokers, "t"))} == {*before, *after}
    second.begin(silent)
    second.await_ready(silent)
    assert second.healthy()
