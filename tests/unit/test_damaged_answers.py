"""One partition's answer is damaged: what the same turn has read of another is not lost, and is no hole."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from faust.types import TP

from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.offsets import Admission, Progress
from creditstream.kafka.reading import Hole
from tests.support.batches import Raw, batch
from tests.unit.test_reading import answer

_GOOD, _BAD = TopicPartition("orders", 0), TopicPartition("orders", 1)
_BATCH = batch(0, [Raw(delta, None, b"an order") for delta in range(3)])
_DATA = {_GOOD: _BATCH, _BAD: _BATCH[:-1] + bytes([_BATCH[-1] ^ 1])}


class Partitions:
    """Two partitions as the broker has them, and the thread that fetches from them."""

    def __init__(self) -> None:
        self.states = {tp: answer(_DATA[tp], tp=tp).state for tp in _DATA}
        for state in self.states.values():
            state.seek = state.consumed_to
        assignment = SimpleNamespace(tps=list(_DATA), active=True, state_value=self.states.__getitem__)
        self._fetcher: Any = fetcher.Fetcher.__new__(fetcher.Fetcher)
        self._fetcher._wait_consume_future, self._fetcher._closed, self._fetcher._records = None, False, {}
        self._fetcher._subscriptions = SimpleNamespace(
            reassignment_in_progress=False,
            fetch_context=contextlib.nullcontext,
            seek=lambda tp, offset: self.states[tp].seek(offset),
        )
        self._assignment = assignment
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self._consumer = SimpleNamespace(_closed=False, _fetcher=self._fetcher, _subscription=subscription)
        self._thread = InOrderThread.__new__(InOrderThread)
        self._thread.consumer = cast(Any, SimpleNamespace(flow_active=True))

    def _ask(self, tp: TopicPartition) -> None:
        """The fetcher's request, in the background; it asks for nothing of which it holds an answer."""
        position = self.states[tp].position
        if tp not in self._fetcher._records and position < 3:
            result = answer(_DATA[tp], tp=tp, start=position).result
            result._assignment = self._assignment
            self._fetcher._records[tp] = result

    async def fetch(self, first: TopicPartition) -> list[Any]:
        """What comes of the good partition; `first`: whose answer the broker gave first."""
        for tp in sorted(_DATA, key=lambda tp: tp != first):
            self._ask(tp)
        wanted = {TP(*tp) for tp in _DATA}
        found: Any = await self._thread._fetch_records(self._consumer, wanted, timeout=0, max_records=1_000)
        return list(found.get(_GOOD, []))


@pytest.mark.parametrize("first", [_GOOD, _BAD])
def test_a_damaged_answer_of_another_partition_makes_no_order_a_hole(first: TopicPartition) -> None:
    partitions, progress = Partitions(), Progress(0)
    delivered, errors = [], 0

    async def turns() -> None:
        nonlocal errors
        for _ in range(6):
            with contextlib.suppress(CorruptRecordException):
                errors += 1
                for record in await partitions.fetch(first):
                    if type(record) is Hole:
                        progress.pass_over(*record)
                    elif progress.admit(record.offset) is Admission.DELIVER:
                        delivered.append(record.offset)
                errors -= 1

    asyncio.run(turns())
    assert delivered == [0, 1, 2] and progress.expected == 3
    assert errors and partitions.states[_BAD].position == 0, "it is said, and the damaged partition is asked for again"
