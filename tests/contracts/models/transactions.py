"""Transactions: what they hide, what their markers take, and who may end them."""

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from devtools.wait import wait_for_async
from tests.contracts.models.kafka import Kafka, refusal
from tests.contracts.models.scenarios import KAFKA, Seen

READ_COMMITTED = 1


async def _look(kafka: Kafka, topic: str, offset: int = 0) -> list[object]:
    """To which end one may read, the batches that are told, and which transactions to pass over."""
    found = await kafka.fetch(topic, offset, isolation=READ_COMMITTED)
    [_, end] = await kafka.ends(topic, isolation=READ_COMMITTED)
    return [end, found.batches, found.aborted]


async def _begun(kafka: Kafka, topic: str, *values: str) -> AIOKafkaProducer:
    """A producer with an open transaction that has written these, a batch each."""
    producer = await kafka.producer(transactional_id=kafka.name())
    await producer.begin_transaction()
    for value in values:
        await producer.send_and_wait(topic, value.encode(), partition=0)
    return producer


async def _delivered(kafka: Kafka, topic: str, last: int, isolation: str) -> list[int]:
    """The offsets that aiokafka's consumer gives, up to `last`."""
    consumer = await kafka.consumer(isolation_level=isolation, auto_offset_reset="earliest", group_id=None)
    consumer.assign([TopicPartition(topic, 0)])
    offsets: list[int] = []
    while not offsets or offsets[-1] < last:
        offsets.append((await consumer.getone()).offset)
    return offsets


def _records(*offsets: int) -> list[list[object]]:
    return [[offset, "records"] for offset in offsets]


@KAFKA.scenario([[0, 3], [0, 3]], [3, [[0, "records"], [1, "records"], [2, "marker"]], []], [3], [0, 1, 3], [0, 1, 3])
async def a_committed_transaction(kafka: Kafka) -> Seen:
    """Its marker takes an offset and is no record."""
    topic = await kafka.topic()
    producer = await _begun(kafka, topic, "a", "b")
    await producer.commit_transaction()
    await _ended(kafka, topic, 3)
    seen: Seen = [[await kafka.ends(topic), await kafka.ends(topic, isolation=READ_COMMITTED)]]
    seen += [await _look(kafka, topic), await kafka.send(topic, "c")]
    return [*seen, *[await _delivered(kafka, topic, 3, each) for each in ("read_committed", "read_uncommitted")]]


@KAFKA.scenario([3, [[0, "records"], [1, "records"], [2, "marker"]], [0]], [3], [3], [0, 1, 3])
async def an_aborted_transaction(kafka: Kafka) -> Seen:
    topic = await kafka.topic()
    producer = await _begun(kafka, topic, "a", "b")
    await producer.abort_transaction()
    await _ended(kafka, topic, 3)
    seen: Seen = [await _look(kafka, topic), await kafka.send(topic, "c")]
    return [*seen, *[await _delivered(kafka, topic, 3, each) for each in ("read_committed", "read_uncommitted")]]


@KAFKA.scenario(
    *([0], [3], [0, 4], [0, 1], [1, _records(0), []], [1, [], []], [0, 1, 2, 3]),
    *([5, [*_records(0, 1, 2, 3), [4, "marker"]], []], [5], [0, 1, 2, 3, 5]),
)
async def nobody_reads_behind_an_open_transaction(kafka: Kafka) -> Seen:
    """Nor what stands there and is of nobody's transaction."""
    topic = await kafka.topic()
    seen: Seen = [await kafka.send(topic, "a")]
    producer = await _begun(kafka, topic, "b", "c")
    seen += [await kafka.send(topic, "d"), await kafka.ends(topic), await kafka.ends(topic, isolation=READ_COMMITTED)]
    seen += [await _look(kafka, topic), await _look(kafka, topic, 2)]
    seen.append(await _delivered(kafka, topic, 3, "read_uncommitted"))
    await producer.commit_transaction()
    await _ended(kafka, topic, 5)
    seen += [await _look(kafka, topic), await kafka.send(topic, "e")]
    return [*seen, await _delivered(kafka, topic, 5, "read_committed")]


_MARKERS = [[3, "marker"], [4, "marker"]]


@KAFKA.scenario(
    *([0, _records(), []], [1, [[0, "records"]], [0]], [5, [*_records(0, 1, 2), *_MARKERS], [0]], [0]),
)
async def transactions_side_by_side(kafka: Kafka) -> Seen:
    """The one that began first is aborted, the other is committed."""
    topic = await kafka.topic()
    first = await _begun(kafka, topic, "a")
    second = await _begun(kafka, topic, "b")
    await first.send_and_wait(topic, b"c", partition=0)
    seen: Seen = [await _look(kafka, topic)]
    await first.abort_transaction()
    await _ended(kafka, topic, 4)
    seen.append(await _look(kafka, topic))
    await second.commit_transaction()
    await _ended(kafka, topic, 5)
    return [*seen, await _look(kafka, topic), (await kafka.fetch(topic, 1, isolation=READ_COMMITTED)).aborted]


@KAFKA.scenario("NoError", "ProducerFenced", [0, 2], [0])
async def a_producer_of_the_same_name_ends_what_is_open(kafka: Kafka) -> Seen:
    topic, name = await kafka.topic(), kafka.name()
    old = await kafka.producer(transactional_id=name)
    await old.begin_transaction()
    await old.send_and_wait(topic, b"a", partition=0)
    new = await kafka.producer(transactional_id=name)
    await _ended(kafka, topic, 2)
    seen: Seen = [await refusal(new.begin_transaction()), await refusal(old.commit_transaction())]
    found = await kafka.fetch(topic, 0, isolation=READ_COMMITTED)
    return [*seen, await kafka.ends(topic, isolation=READ_COMMITTED), found.aborted]


async def _ended(kafka: Kafka, topic: str, end: int) -> None:
    """A transaction has ended for whoever ended it before its markers stand."""

    async def is_there() -> bool:
        return await kafka.ends(topic) == [0, end]

    await wait_for_async(is_there, what=f"offset {end}")
