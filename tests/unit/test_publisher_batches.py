"""What a flush sends and what its answers mean: whole batches, records one by one, and what no topic takes."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError

from creditstream.errors import BrokerUnavailable, Unsendable
from creditstream.kafka.publisher import Publisher
from creditstream.order.ports import Outgoing

_ROOM = 3


class Batch:
    """Has room for three records; a record of `bytes` that cannot be written raises."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def append(self, *, value: Any, **_: Any) -> object | None:
        if value == b"unwritable":
            raise ValueError("a header's name is no text")
        if len(self.values) == _ROOM:
            return None
        self.values.append(value)
        return object()


class Producer:
    """Numbers what it takes by partition; `fails`: the error with which a batch of such values is answered."""

    def __init__(self, fails: Callable[[list[Any]], BaseException | None] = lambda _: None) -> None:
        self._fails = fails
        self.sent: list[tuple[int, list[Any]]] = []
        self._ends = dict.fromkeys(range(4), 100)

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> "asyncio.Future[Any]":
        self.sent.append((partition, batch.values))
        answer = asyncio.get_running_loop().create_future()
        if error := self._fails(batch.values):
            answer.set_exception(error)
        else:
            answer.set_result(SimpleNamespace(offset=self._ends[partition]))
            self._ends[partition] += len(batch.values)
        return answer


def published(producer: Any, **records: list[bytes]) -> dict[int, int]:
    """`p0`, `p1`, …: the values for each partition."""
    given = {int(name[1:]): [Outgoing(b"k", value) for value in values] for name, values in records.items()}
    return asyncio.run(Publisher(producer).publish("order-status", given))


def test_each_partitions_last_offset_is_told_however_many_batches_it_takes() -> None:
    producer = Producer()
    assert published(producer, p0=[b"1"], p2=[b"1", b"2", b"3", b"4", b"5"]) == {0: 100, 2: 104}
    assert producer.sent == [(0, [b"1"]), (2, [b"1", b"2", b"3"]), (2, [b"4", b"5"])]


def test_a_batch_that_is_too_large_goes_again_record_by_record() -> None:
    producer = Producer(lambda values: MessageSizeTooLargeError() if len(values) > 1 else None)
    assert published(producer, p0=[b"1", b"2"], p1=[b"3"]) == {0: 101, 1: 101}
    assert producer.sent[2:] == [(0, [b"1"]), (0, [b"2"]), (1, [b"3"])]


def test_a_record_that_is_too_large_is_asked_about_once() -> None:
    producer = Producer(lambda values: MessageSizeTooLargeError())
    with pytest.raises(Unsendable, match="too large for the topic"):
        published(producer, p0=[b"1"])
    assert len(producer.sent) == 1


@pytest.mark.parametrize("values", [[b"unwritable"], [b"1", b"2", b"3", b"unwritable"]])
def test_a_record_that_cannot_be_written_is_unsendable_and_not_sent(values: list[bytes]) -> None:
    producer = Producer()
    with pytest.raises(Unsendable, match="cannot be written as a record: ValueError"):
        published(producer, p0=values)
    assert b"unwritable" not in [each for _, sent in producer.sent for each in sent]


@pytest.mark.parametrize("error", [KafkaTimeoutError(), KafkaConnectionError(), asyncio.CancelledError()])
def test_a_batch_that_is_not_delivered_is_a_broker_that_is_away(error: BaseException) -> None:
    producer = Producer(lambda values: error if values == [b"2"] else None)
    with pytest.raises(BrokerUnavailable, match=type(error).__name__):
        published(producer, p0=[b"1"], p1=[b"2"])


@pytest.mark.parametrize("answers", [True, False])
def test_a_broker_is_there_when_it_tells_its_metadata(answers: bool) -> None:
    async def metadata() -> bool:
        return answers

    producer: Any = SimpleNamespace(client=SimpleNamespace(force_metadata_update=metadata))
    with nullcontext() if answers else pytest.raises(BrokerUnavailable, match="no broker answers"):
        asyncio.run(Publisher(producer).ping())


def test_a_producer_that_takes_nothing_is_a_broker_that_is_away() -> None:
    producer: Any = Producer()

    async def refuses(*_: Any, **__: Any) -> Any:
        raise KafkaConnectionError

    producer.send_batch = refuses
    with pytest.raises(BrokerUnavailable, match="order-status: KafkaConnectionError"):
        published(producer, p0=[b"1"])
