"""The producers that the field uses, each as it is set up there. Records are acknowledged when `send` returns."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from confluent_kafka import Producer

from tests.corpus.console import type_in
from tests.corpus.shots import Channel, Shot
from tests.corpus.wire import CODECS
from tests.support.kafka import Topics, run

#: A client's own limit, of a record or a request: the broker's is what is tried.
_LARGEST = 32 * 1024 * 1024
_BATCH = 512 * 1024
_WITHIN = 60.0


def send(channel: Channel, shots: Sequence[Shot], topics: Topics) -> None:
    """All of them through the channel, and note where each one stands. Those of a transaction are one."""
    if channel.producer == "console":
        type_in(channel, shots, topics)
    elif channel.producer == "librdkafka":
        _send_by_librdkafka(channel, shots, topics)
    else:
        run(_send_by_aiokafka(channel, shots, topics))


def _together(shots: Sequence[Shot]) -> Iterator[tuple[str, list[Shot]]]:
    """What goes out at a time: of one transaction, and of one time, since a batch holds differences of times."""
    for (_, ending, _), group in groupby(sorted(shots, key=_turn), key=_turn):
        yield ending, list(group)


def _turn(shot: Shot) -> tuple[bool, str, str]:
    """What is aborted goes first: others repeat it. But for what ends the partitions."""
    ending = (shot.case.transaction or "commit") if shot.channel.mode == "transaction" else ""
    return shot.where.isdecimal(), ending, str(shot.case.timestamp)


class _Name(str):
    """A header's name of any bytes, for a builder that asks it for UTF-8."""

    raw: bytes

    def __new__(cls, raw: bytes) -> "_Name":
        name = super().__new__(cls, raw.decode("latin-1"))
        name.raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


async def _send_by_aiokafka(channel: Channel, shots: Sequence[Shot], topics: Topics) -> None:
    transactional = channel.mode == "transaction"
    producer = AIOKafkaProducer(
        bootstrap_servers=topics.brokers,
        acks="all",
        compression_type=None if channel.codec == "none" else channel.codec,
        max_request_size=_LARGEST,
        max_batch_size=_BATCH,
        transactional_id=f"{topics.prefix}{channel.name}" if transactional else None,
    )
    await producer.start()
    try:
        for ending, group in _together(shots):
            if ending:
                await producer.begin_transaction()
            sent = [(batch, await _send_batch(producer, batch, topics)) for batch in _batches(channel, group)]
            for batch, receipt in sent:
                _note(batch, (await receipt).offset, topics)
            if ending:
                await (producer.commit_transaction() if ending == "commit" else producer.abort_transaction())
    finally:
        await producer.stop()


def _batches(channel: Channel, shots: Sequence[Shot]) -> Iterator[list[Shot]]:
    def place(shot: Shot) -> tuple[str, int]:
        return shot.case.topic, shot.partition or 0

    for _, group in groupby(sorted(shots, key=place), key=place):
        batch: list[Shot] = []
        for shot in group:
            full = sum(each.message.size for each in batch) + shot.message.size > _BATCH / 2
            if batch and (channel.mode == "single" or full):
                yield batch
                batch = []
            batch.append(shot)
        yield batch


async def _send_batch(producer: AIOKafkaProducer, shots: Sequence[Shot], topics: Topics) -> Any:
    """The receipt, to wait for."""
    batch = producer.create_batch()
    if shots[0].channel.producer == "wire":
        codec = CODECS.index(shots[0].channel.codec)
        ids: dict[str, Any] = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": 0}
        batch._builder = _DefaultRecordBatchBuilderPy(2, codec, **ids, batch_size=_BATCH)
    for shot in shots:
        key, value, headers, timestamp = shot.message
        named = [(_Name(name) if shot.channel.producer == "wire" else name.decode(), text) for name, text in headers]
        assert batch.append(key=key, value=value, headers=named, timestamp=timestamp), f"does not fit: {shot}"
    batch.close()
    return await producer.send_batch(batch, topics.name(shots[0].case.topic), partition=shots[0].partition)


def _note(batch: Sequence[Shot], first: int, topics: Topics) -> None:
    for offset, shot in enumerate(batch, start=first):
        shot.place = (topics.name(shot.case.topic), shot.partition or 0, offset)


def _send_by_librdkafka(channel: Channel, shots: Sequence[Shot], topics: Topics) -> None:
    transactional = channel.mode == "transaction"
    settings: dict[str, Any] = {
        "bootstrap.servers": topics.brokers,
        "compression.type": channel.codec,
        "max.in.flight.requests.per.connection": 1,  # in order; what it does for idempotence takes half a second
        "linger.ms": 50,
        "message.max.bytes": _LARGEST,
        "batch.size": _BATCH,
        "batch.num.messages": 1 if channel.mode == "single" else 10_000,
    }
    if transactional:
        settings["transactional.id"] = f"{topics.prefix}{channel.name}"
    producer = Producer(settings)
    if transactional:
        producer.init_transactions(_WITHIN)
    for ending, group in _together(shots):
        if ending:
            producer.begin_transaction()
        for shot in group:
            _produce(producer, shot, topics)
        assert producer.flush(_WITHIN) == 0, f"not delivered: {channel.name}"
        if ending:
            (producer.commit_transaction if ending == "commit" else producer.abort_transaction)(_WITHIN)
    left = [str(shot) for shot in shots if shot.place is None]
    assert not left, f"Kafka did not take {left[:5]}"


def _produce(producer: Producer, shot: Shot, topics: Topics) -> None:
    def delivered(error: object, message: Any) -> None:
        assert error is None, f"Kafka did not take it: {error}: {shot}"
        shot.place = (message.topic(), message.partition(), message.offset())

    key, value, headers, timestamp = shot.message
    producer.produce(
        topics.name(shot.case.topic),
        value=value,
        key=key,
        partition=-1 if shot.partition is None else shot.partition,
        headers=[(name.decode(), text) for name, text in headers],
        timestamp=timestamp or 0,
        on_delivery=delivered,
    )
    producer.poll(0)
