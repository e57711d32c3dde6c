"""A partition's log: offsets, where it starts and ends, what a fetch answers, and what stands there twice."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete
from aiokafka.protocol.produce import ProduceRequest_v3
from aiokafka.structs import TopicPartition

from tests.contracts.models.kafka import AsIs, Fetched, Kafka, refusal, told
from tests.contracts.models.scenarios import KAFKA, Seen


@KAFKA.scenario(
    *([0, 1, 2], [0, 3], ["NoError", 3, ["b", "c"]], ["NoError", 3, []], "OffsetOutOfRangeError"),
    *(2, [2, 3], "OffsetOutOfRangeError", ["NoError", 3, ["c"]], "OffsetOutOfRangeError", [2, 3], 3, [3, 3], [3]),
)
async def a_log_starts_where_records_were_deleted(kafka: Kafka) -> Seen:
    topic, admin = await kafka.topic(), await kafka.admin()

    async def look(offset: int) -> list[object]:
        found = await kafka.fetch(topic, offset)
        return [found.error, found.high, found.values]

    async def delete_before(offset: int) -> int:
        place = TopicPartition(topic, 0)
        return int((await admin.delete_records({place: RecordsToDelete(offset)}))[place])

    seen: Seen = [await kafka.send(topic, "a", "b", "c"), await kafka.ends(topic), await look(1), await look(3)]
    seen.append((await kafka.fetch(topic, 4)).error)
    seen += [await delete_before(2), await kafka.ends(topic), (await kafka.fetch(topic, 1)).error, await look(2)]
    seen += [await refusal(delete_before(4)), await kafka.ends(topic)]
    return [*seen, await delete_before(-1), await kafka.ends(topic), await kafka.send(topic, "d")]


@KAFKA.scenario("PolicyViolationError", [0, 1], "NoError", [1, 1])
async def a_topic_that_is_only_compacted_lets_nobody_delete(kafka: Kafka) -> Seen:
    admin, seen = await kafka.admin(), Seen()
    for policy in ("compact", "compact,delete"):
        topic = await kafka.topic(cleanup_policy=policy)
        producer = await kafka.producer()
        await producer.send_and_wait(topic, b"a", key=b"k")
        seen.append(await refusal(admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(1)})))
        seen.append(await kafka.ends(topic))
    return seen


@KAFKA.scenario(["UnknownTopicOrPartitionError", -1], "UnknownTopicOrPartitionError", "UnknownTopicOrPartitionError")
async def a_topic_that_is_not_there(kafka: Kafka) -> Seen:
    topic, there = kafka.name(), await kafka.topic()
    await kafka.send(there, "a")
    batch = (await kafka.fetch(there, 0)).raw
    answer = await kafka.ask(AsIs(ProduceRequest_v3(None, -1, 1_000, [(topic, [(0, batch)])])))
    [(_, [(_, code, offset, _)])] = answer.topics
    seen: Seen = [[told(code), offset], (await kafka.fetch(topic, 0)).error]
    admin = await kafka.admin()
    [described] = await admin.describe_topics([topic])
    return [*seen, told(described["error_code"])]


@KAFKA.scenario(["NoError", ["a"]])
async def a_fetch_waits_for_what_comes(kafka: Kafka) -> Seen:
    """Far longer than the scenario may take."""
    topic = await kafka.topic()
    waiting = asyncio.create_task(kafka.fetch(topic, 0, wait=100_000))
    await kafka.send(topic, "a")
    found: Fetched = await waiting
    return [[found.error, found.values]]


async def _sent(kafka: Kafka, topic: str, *, idempotent: bool) -> AIOKafkaProducer:
    """A frail producer that has sent `a`."""
    producer = await kafka.producer(client_id=kafka.frail, enable_idempotence=idempotent, request_timeout_ms=20_000)
    await producer.send_and_wait(topic, b"a", partition=0)
    return producer


@KAFKA.scenario(2, ["a", "b", "b"], [0, 3])
async def a_batch_whose_answer_is_lost_stands_twice(kafka: Kafka) -> Seen:
    """The producer repeats it, and the broker cannot know."""
    topic = await kafka.topic()
    producer = await _sent(kafka, topic, idempotent=False)
    kafka.lose_answer()
    offset = (await producer.send_and_wait(topic, b"b", partition=0)).offset
    return [offset, (await kafka.fetch(topic, 0)).values, await kafka.ends(topic)]


@KAFKA.scenario(1, ["a", "b", "c"], [0, 3])
async def an_idempotent_producers_batch_stands_once(kafka: Kafka) -> Seen:
    topic = await kafka.topic()
    producer = await _sent(kafka, topic, idempotent=True)
    kafka.lose_answer()
    offset = (await producer.send_and_wait(topic, b"b", partition=0)).offset
    await producer.send_and_wait(topic, b"c", partition=0)
    return [offset, (await kafka.fetch(topic, 0)).values, await kafka.ends(topic)]


@KAFKA.scenario(1, ["a", "b"], [0, 2])
async def a_batch_that_did_not_arrive_stands_once(kafka: Kafka) -> Seen:
    topic = await kafka.topic()
    producer = await _sent(kafka, topic, idempotent=False)
    kafka.lose_request()
    offset = (await producer.send_and_wait(topic, b"b", partition=0)).offset
    return [offset, (await kafka.fetch(topic, 0)).values, await kafka.ends(topic)]
