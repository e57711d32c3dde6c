"""A batch of a few bytes may have a million records that cannot be read: their letters are not made all at once."""

import asyncio
from collections import deque

import pytest
from aiokafka.structs import TopicPartition

from creditstream.order.dead_letter_limit import DeadLetterLimit
from tests.support.batches import batch
from tests.unit.test_reading import answer
from tests.unit.test_records_delivered import Delivery

_COUNT, _ROOM = 1_000, 100
_GARBLED = batch(0, b"no such thing", count=_COUNT, last=_COUNT - 1, flags=1)


@pytest.fixture
def delivery() -> Delivery:
    made = Delivery("orders", 0, 0)
    fetched = answer(_GARBLED, tp=TopicPartition(*made.tp))
    made.consumer._backlog[made.tp] = deque(fetched.result.getall())
    return made


async def deliver(delivery: Delivery) -> None:
    if delivery.tp in delivery.consumer._backlog:
        await delivery.consumer._deliver(delivery.tp, 1)


def test_they_wait_until_letters_before_them_are_delivered(delivery: Delivery) -> None:
    async def turns() -> None:
        for _ in range(_COUNT // _ROOM):
            await deliver(delivery)
            assert delivery.rig.pipeline.unsent <= _ROOM
            await delivery.rig.outbox.run_once()

    asyncio.run(turns())
    assert delivery.progress.position == _COUNT
    assert delivery.rig.publisher.reasons() == ["unreadable"] * _COUNT


def test_the_letters_limit_stops_them_too(delivery: Delivery) -> None:
    rig = delivery.rig
    rig.brakes._letters = DeadLetterLimit(20, 0.5, 60.0)

    async def turns() -> None:
        for _ in range(4):
            await deliver(delivery)
            await rig.run(1)

    asyncio.run(turns())
    assert rig.publisher.reasons() == ["unreadable"] * 20
