"""A log that was cut, or made again: offsets below those that were read come again, with other records."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from faust.types import TP

from creditstream.kafka.offsets import StartingPoint
from creditstream.metrics.catalogue import LOG_CUTS
from creditstream.metrics.instruments import Instruments
from creditstream.order.ports import Place
from creditstream.order.record import Turn
from schemas.headers import Headers
from tests.support.batches import Raw, batch
from tests.unit.pipeline_rig import NOW, home_of, id_of, order_json
from tests.unit.test_records_delivered import Delivery

_VALUES = [order_json() for _ in range(80)]
_HOME = home_of(_VALUES[0])
#: Orders that all belong on one partition.
_ORDERS = [value for value in _VALUES if home_of(value) == _HOME]


def at(first: int, values: list[bytes], headers: Headers = ()) -> bytes:
    """A batch on the log, from that offset on."""
    named = [(name.encode(), value) for name, value in headers]
    return batch(first, [Raw(delta, None, value, named) for delta, value in enumerate(values)])


async def cut(delivery: Delivery, first: int, values: list[bytes]) -> None:
    """The broker has nothing at the position any more: aiokafka reads from the log's beginning."""
    await delivery.play(at(first, values), start=first)


def test_what_comes_after_a_cut_is_delivered_and_the_cut_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        delivery = Delivery("orders", _HOME, 500)
        await delivery.play(at(500, _ORDERS[:3]))
        assert delivery.position == 503
        await cut(delivery, 0, _ORDERS[2:])
        assert len(delivery.rig.store.rows) == len(_ORDERS), "each once"
        assert delivery.position == len(_ORDERS) - 2
        assert len(delivery.rig.risk.calls) == len(_ORDERS)
        assert delivery.metrics.log_cuts.read().values == {(): 1}
        await delivery.play(at(delivery.position, _ORDERS[:1]))
        assert delivery.metrics.log_cuts.read().values == {(): 1}, "once for each"

    asyncio.run(play())
    [told] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "cut or made again" in told.getMessage() and "503" in told.getMessage()


def test_the_catalogue_has_the_cuts() -> None:
    assert LOG_CUTS in [reading.metric for reading in Instruments().read()]


def test_an_acknowledgement_from_before_the_cut_is_worth_nothing() -> None:
    """It is of another record, which stood at the same offset."""

    async def play() -> None:
        delivery = Delivery("orders", _HOME, 0)
        delivery.rig.risk.hold()
        delivery.consumer._backlog[delivery.tp] = delivery.read(at(0, _ORDERS[:2]), 0)
        await delivery.consumer._deliver(delivery.tp, 1)
        old = list(delivery.messages)
        delivery.consumer._backlog[delivery.tp] = delivery.read(at(0, _ORDERS[2:4]), 0)
        await delivery.consumer._deliver(delivery.tp, 1)
        new = delivery.messages[2:]
        assert [message.offset for message in new] == [0, 1]
        assert not any(delivery.consumer.ack(message) for message in old)
        assert delivery.position == 0
        assert all(delivery.consumer.ack(message) for message in new)
        assert delivery.position == 2

    asyncio.run(play())


def test_the_smaller_offset_is_committed_at_once_although_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever has the partition next would start behind what was never read, once the log is as long again."""
    tp, offsets = TP("orders", _HOME), list[Any]()

    async def commit(given: Mapping[TP, int]) -> bool:
        offsets.append(dict(given))
        return True

    async def play() -> None:
        delivery = Delivery("orders", _HOME, 0)
        consumer = delivery.consumer
        await delivery.play(at(0, _ORDERS[:5]))
        monkeypatch.setattr(consumer, "_commit", commit)
        assert await consumer.force_commit()
        assert consumer._reached == {tp: 5}
        delivery.rig.risk.hold()
        consumer._backlog[tp] = delivery.read(at(2, _ORDERS[5:7]), 2)
        await consumer._deliver(tp, 1)
        assert await consumer.force_commit()
        assert not await consumer.force_commit(), "once"
        assert offsets == [{tp: 5}, {tp: 2}]
        assert delivery.metrics.commits.read().values == {("committed",): 2, ("failed",): 0}
        assert consumer._reached == {tp: 2}, "the next start does not doubt it"
        consumer._doubt({tp: StartingPoint(2, 9)})

    asyncio.run(play())


def test_a_commit_that_fails_is_counted_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tp, answers = TP("orders", _HOME), [False, True]

    async def commit(_given: Mapping[TP, int]) -> bool:
        return answers.pop(0)

    async def play() -> None:
        delivery = Delivery("orders", _HOME, 0)
        await delivery.play(at(0, _ORDERS[:5]))
        monkeypatch.setattr(delivery.consumer, "_commit", commit)
        assert not await delivery.consumer.force_commit()
        assert delivery.consumer._reached == {}
        assert await delivery.consumer.force_commit()
        assert not await delivery.consumer.force_commit(), "nothing is left to commit"
        assert delivery.consumer._reached == {tp: 5}
        assert delivery.metrics.commits.read().values == {("committed",): 1, ("failed",): 1}

    asyncio.run(play())


def test_a_commit_that_ends_after_the_cut_does_not_count_for_what_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tp = TP("orders", _HOME)

    async def play() -> None:
        delivery = Delivery("orders", _HOME, 0)
        consumer, offsets = delivery.consumer, list[Any]()
        await delivery.play(at(0, _ORDERS[:5]))

        async def commit(given: Mapping[TP, int]) -> bool:
            offsets.append(dict(given))
            if len(offsets) == 1:
                delivery.rig.risk.hold()
                consumer._backlog[tp] = delivery.read(at(0, _ORDERS[5:7]), 0)
                await consumer._deliver(tp, 1)
            return True

        monkeypatch.setattr(consumer, "_commit", commit)
        await consumer.force_commit()
        await consumer.force_commit()
        assert offsets == [{tp: 5}, {tp: 0}]

    asyncio.run(play())


def test_what_waited_on_a_log_that_was_cut_is_forgotten_and_what_stands_there_now_waits() -> None:
    """Its places are other records' now: they would be started twice, or before their time."""

    async def play() -> None:
        delivery = Delivery("orders-retry", _HOME, 0)
        rig, read_again = delivery.rig, delivery.rig.retry_topic.reads
        parked = rig.record(_ORDERS[0]).waiting(Turn(1, NOW, NOW + timedelta(seconds=20)))
        await delivery.play(at(0, _ORDERS[:5], parked), wait=1)
        assert rig.pipeline.waiting == 5
        await delivery.play(at(0, _ORDERS[5:7], parked), start=0, wait=1)
        assert (rig.pipeline.waiting, read_again) == (2, [])
        rig.advance(30)
        await rig.run()
        assert read_again == [[Place(_HOME, 0), Place(_HOME, 1)]]
        assert set(rig.store.rows) == {id_of(value) for value in _ORDERS[5:7]}
        assert delivery.position == 2

    asyncio.run(play())


def test_a_cut_of_another_topic_costs_nothing_that_waits() -> None:
    async def play() -> None:
        delivery = Delivery("orders", _HOME, 0)
        rig = delivery.rig
        parked = rig.record(_ORDERS[9]).waiting(Turn(1, NOW, NOW + timedelta(seconds=20)))
        rig.accept_retry(rig.record(_ORDERS[9], topic="orders-retry", headers=parked))
        await delivery.play(at(0, _ORDERS[:3]), wait=1)
        await delivery.play(at(0, _ORDERS[3:5]), start=0, wait=1)
        assert delivery.metrics.log_cuts.read().values == {(): 1}
        assert rig.pipeline.waiting == 1

    asyncio.run(play())
