"""What the delivery of a log that was cut stands on: Kafka's client goes to its beginning, and says nothing."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from creditstream.kafka.client import open_admin
from creditstream.kafka.offsets import Admission, Progress
from devtools.wait import wait_for_async
from tests.support.kafka import Topics

_WITHIN = 60.0


async def _read(consumer: Any, count: int) -> list[int]:
    """The next offsets."""
    found: list[int] = []
    async with asyncio.timeout(_WITHIN):
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.offset for record in records]
    return found


async def _make_again(topics: Topics) -> None:
    admin = await open_admin(topics.settings)
    try:
        topics.delete()

        async def gone() -> bool:
            return topics.name("orders") not in await admin.list_topics()

        await wait_for_async(gone, what="the topic is deleted")
        topics.create()
    finally:
        await admin.close()


def test_a_topic_that_was_made_again_is_read_from_its_first_record(topics: Topics) -> None:
    async def play() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=topics.brokers, group_id=None, auto_offset_reset="earliest")
        await consumer.start()
        try:
            orders = TopicPartition(topics.name("orders"), 0)
            consumer.assign([orders])
            consumer.seek(orders, 0)
            await topics.aproduce("orders", [(None, b"old")] * 5, partition=0)
            progress = Progress(0)
            assert {progress.admit(offset) for offset in await _read(consumer, 5)} == {Admission.DELIVER}
            await _make_again(topics)
            await topics.aproduce("orders", [(None, b"new")] * 3, partition=0)
            found = await _read(consumer, 3)
            assert found == [0, 1, 2]
            assert progress.admit(found[0]) is Admission.BEGIN_AGAIN
            assert [progress.after_cut(found[0]).admit(offset) for offset in found[:1]] == [Admission.DELIVER]
        finally:
            await consumer.stop()

    asyncio.run(play())
