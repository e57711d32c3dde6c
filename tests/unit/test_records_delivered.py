"""Whole records from a fetch's bytes to their outcome: fetcher, delivery, pipeline, and what is published of it."""

import asyncio
import logging
from collections import deque
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.offsets import Progress
from creditstream.kafka.reading import with_holes
from creditstream.order.record import Record
from creditstream.worker.app import CreditApp
from creditstream.worker.intake import _record
from creditstream.worker.runtime import Runtime
from schemas import headers
from tests.support.batches import CODECS, Raw, batch
from tests.unit.pipeline_rig import NOW, Rig, home_of, order_json
from tests.unit.test_reading import answer, parts_of

_BELIEVED = {"orders-by-id": headers.HOP, "orders-retry": headers.WAIT}
_NAMES = sorted(headers.RESERVED | {"traceparent", "", "x-producer-x-attempts", "x-replay-of"})
_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TIMES = (-1, 0, 1, int(NOW.timestamp() * 1000), int(NOW.timestamp() * 1_000_000), 2**62, -(2**62))
_ORDERS = [order_json(UUID(int=number)) for number in range(8)]


class Delivery:
    """Our consumer over one fetch of one partition; what it hands on goes to the rig's pipeline as agents do it."""

    def __init__(self, topic: str, partition: int, start: int) -> None:
        self.rig, self.tp = Rig(), TP(topic, partition)
        self.metrics = self.rig.metrics
        #: What was handed on.
        self.messages: list[Any] = []
        consumer = InOrderConsumer.__new__(InOrderConsumer)
        app = SimpleNamespace(
            topics=SimpleNamespace(_tp_index={}, acks_enabled_for=lambda topic: True),
            consumer_generation_id=1,
            pipeline=self.rig.pipeline,
            settings=SimpleNamespace(topic_prefix=""),
            sensors=SimpleNamespace(on_commit_initiated=lambda _: None, on_commit_completed=lambda *_: None),
            monitor=SimpleNamespace(on_tp_commit=lambda _: None),
        )
        app.refuse = lambda *given: CreditApp.refuse(cast(Any, app), *given)
        consumer.app, consumer.progress = cast(Any, app), {self.tp: Progress(start)}
        consumer._epoch, consumer._backlog, consumer._reached, consumer._doubts = 1, {}, {}, 0
        consumer.log, consumer.callback = cast(Any, logging.getLogger("test")), self._take
        consumer.metrics = self.metrics
        told = SimpleNamespace(settings=Settings(), pipeline=self.rig.pipeline)
        consumer._ownership = cast(Any, SimpleNamespace(cut=lambda tp: Runtime.cut(cast(Any, told), tp)))
        consumer.can_resume_flow = cast(Any, SimpleNamespace(is_set=lambda: True))
        self.consumer = consumer

    @property
    def progress(self) -> Progress:
        return self.consumer.progress[self.tp]

    @property
    def position(self) -> int:
        return self.progress.position

    async def _take(self, message: Any) -> None:
        self.messages.append(message)
        event = SimpleNamespace(message=message, ack=lambda: self.consumer.ack(message))
        record = _record(self.consumer, event, _BELIEVED)
        assert record, "it was handed on a moment ago"
        accept = self.rig.accept_retry if self.tp.topic == "orders-retry" else self.rig.pipeline.accept
        accept(record)

    def read(self, data: bytes, start: int) -> deque[Any]:
        """What a fetch from `start` gives."""
        fetched = answer(data, tp=TopicPartition(*self.tp), start=start)
        records = fetched.result.getall()
        return deque(with_holes(records, *fetched.state.read))

    async def play(self, data: bytes, start: int | None = None, *, wait: float = 4_000) -> None:
        """`start`: from where it is read; by default, where the records before ended. `wait`: seconds that pass."""
        self.consumer._backlog[self.tp] = self.read(data, self.progress.expected if start is None else start)
        await self.consumer._deliver(self.tp, 1)
        self.rig.advance(wait)  # what waited is due
        await self.rig.run(2)


def delivered(data: bytes, topic: str, partition: int, start: int) -> Delivery:
    delivery = Delivery(topic, partition, start)
    asyncio.run(delivery.play(data))
    return delivery


def check(delivery: Delivery, end: int) -> None:
    """Everything is done, every record that is published can be written, and the worker has nothing left over."""
    assert (delivery.progress.position, delivery.progress.unfinished) == (end, 0)
    assert not delivery.rig.pipeline.flights and not delivery.rig.pipeline.unsent
    for records in delivery.rig.publisher.topics.values():
        for _, record in records:
            builder = BatchBuilder(1_000_000, 0, is_transactional=False)
            assert builder.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))


@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=60), st.integers(0, 2**30))
def test_whatever_a_record_is_it_ends_as_an_order_or_a_dead_letter(data: bytes, seed: int) -> None:
    pieces = parts_of(data)
    topic = ("orders", "orders", "orders-by-id", "orders-retry")[seed % 4]
    sent = []
    for delta, piece in enumerate(pieces):
        pick = seed // 4 + 7 * delta
        value = _ORDERS[pick % 8] if pick % 3 else piece
        names = [_NAMES[(pick + number) % len(_NAMES)].encode() for number in range(pick % 4)]
        own = [(name, (piece, None, b"9", _TRACE)[(pick + at) % 4]) for at, name in enumerate(names)]
        sent.append(Raw(delta, pieces[0], value, [*own, (piece or b"", piece)], _TIMES[pick % 7] // 2))
    data = batch(seed, sent, CODECS[seed % 5], time=_TIMES[seed % 7] // 2)
    check(delivered(data, topic, seed % 4, seed), seed + len(sent))


@pytest.mark.parametrize("broken", ["traceparent", "traced", "letter", "first_ms", "turn", "waiting"])
@pytest.mark.parametrize("topic", ["orders", "orders-retry"])
def test_an_error_that_nobody_foresaw_costs_one_record(
    broken: str, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever part of it fails: the records beside it have their outcome, and it has one too."""
    bad, good = _ORDERS[0], next(value for value in _ORDERS[1:] if home_of(value) == home_of(_ORDERS[0]))

    def raises(self: Record, *_: Any) -> Any:
        if self.value == bad:
            raise KeyError(f"no {bytes(self.value)!r}")
        return original(self, *_)

    real = vars(Record)[broken]
    original: Any = real.fget if isinstance(real, property) else real
    monkeypatch.setattr(Record, broken, property(raises) if isinstance(real, property) else raises)
    delivery = delivered(batch(0, [Raw(0, b"k", bad), Raw(1, b"k", good)]), topic, home_of(bad), 0)
    check(delivery, 2)
    assert delivery.rig.store.rows[UUID(int=_ORDERS.index(good))].is_settled
    assert "personal_loan" not in caplog.text, "an error's text may quote the record"
    if UUID(int=0) in delivery.rig.store.rows:
        assert delivery.rig.store.rows[UUID(int=0)].is_settled and delivery.rig.publisher.reasons() == []
    else:
        assert delivery.rig.publisher.reasons() == ["unreadable"]


def test_after_the_commit_the_order_goes_on_without_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    value = _ORDERS[0]
    sent = Raw(0, None, value, [(b"traceparent", None), (b"traceparent", _TRACE)])
    delivery = delivered(batch(0, [sent]), "orders", home_of(value), 0)
    check(delivery, 1)
    [(_, status)] = delivery.rig.publisher.topics["order-status"]
    assert status.headers == (("traceparent", _TRACE),)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_order_that_cannot_be_committed_for_an_unforeseen_reason_is_found_and_the_others_commit() -> None:
    rig, bad = Rig(), UUID(int=3)
    commit = rig.store.commit

    async def fails(proposals: Any) -> Any:
        if any(proposal.order.order_id == bad for proposal in proposals):
            raise OverflowError("nobody foresaw this")
        return await commit(proposals)

    rig.store.commit = fails  # type: ignore[method-assign]
    for value in _ORDERS:
        rig.pipeline.accept(rig.record(value))
    asyncio.run(rig.run())
    assert set(rig.store.rows) == {UUID(int=number) for number in range(8)} - {bad}
    assert rig.publisher.reasons() == ["unreadable"] and len(rig.acknowledged) == len(_ORDERS)
    assert rig.settlement.unpublished == 0


def test_an_answer_of_kafka_that_cannot_be_used_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """A damaged answer is the server's fault: the loop of deliveries goes on, and says so."""
    rounds: list[int] = []

    class Consumer(InOrderConsumer):
        should_stop = False

        async def _drain_once(self) -> None:
            rounds.append(len(rounds))
            if len(rounds) == 1:
                raise CorruptRecordException("Invalid CRC")
            fetcher.should_stop = True

        async def sleep(self, n: Any, **_: Any) -> None: ...

    consumer, fetcher = Consumer.__new__(Consumer), SimpleNamespace(should_stop=False)
    consumer.app = cast(Any, SimpleNamespace(should_stop=False))
    consumer.log = cast(Any, logging.getLogger("test"))
    asyncio.run(consumer._drain_messages(fetcher))
    assert rounds == [0, 1] and "cannot read from Kafka" in caplog.text


def test_an_unforeseen_error_while_an_order_is_scored_is_told_without_what_it_quotes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.answer(_ORDERS[0], KeyError("c-1 Maria Silva"))
    rig.pipeline.accept(rig.record(_ORDERS[0]))
    asyncio.run(rig.run())
    assert len(rig.publisher.topics["orders-retry"]) == 1, "it is tried again"
    [told] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Maria" not in caplog.text and "KeyError" in caplog.text and told.exc_info
    assert rig.scoring._metrics.record_errors.read().values["scored",] == 1
