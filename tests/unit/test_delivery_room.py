"""What is handed on: as much as the queues hold, in step with the rest of the loop, and since when it waits."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from creditstream.kafka.stream_queues import MOST_AT_ONCE
from tests.support.batches import Raw, batch
from tests.unit.test_records_delivered import Delivery

_WRITTEN_MS = 1_700_000_000_000


class Filling(Delivery):
    """Of one partition of a source topic; `queue`: of the one stream that reads it."""

    def __init__(self, room: int) -> None:
        """`room`: of its queue; 0: without a bound."""
        super().__init__("orders", 0, 0)
        self.queue: asyncio.Queue[Any] = asyncio.Queue(room)
        topics: Any = self.consumer.app.topics
        topics._tp_index = {self.tp: [SimpleNamespace(queue=self.queue)]}

    async def _take(self, message: Any) -> None:
        self.queue.put_nowait(message)

    async def fetched(self, count: int) -> None:
        """So many records, a millisecond apart, are handed on as far as there is room."""
        start = self.progress.expected
        sent = [Raw(delta, None, b"{}", time=start + delta) for delta in range(count)]
        self.consumer._backlog[self.tp] = self.read(batch(start, sent, time=_WRITTEN_MS), start)
        await self.deliver()

    async def deliver(self) -> None:
        await self.consumer._deliver(self.tp, 1)

    @property
    def left(self) -> int:
        return len(self.consumer._backlog.get(self.tp, ()))


@pytest.mark.parametrize("room", [1, 2, 3])
def test_no_more_is_handed_on_than_the_queue_holds(room: int) -> None:
    async def play() -> None:
        filling = Filling(room)
        await filling.fetched(room + 2)
        assert (filling.queue.qsize(), filling.left) == (room, 2)
        await filling.deliver()
        assert (filling.queue.qsize(), filling.left) == (room, 2), "it is full"
        filling.queue.get_nowait()
        await filling.deliver()
        assert (filling.queue.qsize(), filling.left) == (room, 1)

    asyncio.run(play())


def test_while_many_records_are_handed_on_the_rest_of_the_loop_has_its_turn() -> None:
    async def play() -> None:
        filling, seen = Filling(0), list[int]()
        asyncio.get_running_loop().call_soon(lambda: seen.append(filling.queue.qsize()))
        await filling.fetched(2 * MOST_AT_ONCE)
        assert filling.queue.qsize() == 2 * MOST_AT_ONCE
        assert seen and seen[0] < 2 * MOST_AT_ONCE

    asyncio.run(play())


def test_the_first_record_of_a_round_says_since_when_the_oldest_waits() -> None:
    async def play() -> None:
        filling = Filling(0)
        await filling.fetched(3)
        assert filling.progress.oldest_ms() == _WRITTEN_MS
        filling.progress.finish(0)
        assert filling.progress.oldest_ms() == _WRITTEN_MS, "to the exactness of a round"
        await filling.fetched(2)
        for offset in (1, 2):
            filling.progress.finish(offset)
        assert filling.progress.oldest_ms() == _WRITTEN_MS + 3

    asyncio.run(play())


@pytest.mark.parametrize("end", ["positions are taken", "the flow stops"])
def test_what_ends_a_round_ends_it_behind_the_record_in_hand(end: str) -> None:
    class Ended(Filling):
        async def _take(self, message: Any) -> None:
            await super()._take(message)
            if end == "positions are taken":
                self.consumer._epoch += 1
            else:
                self.consumer.flow_active = False

    async def play() -> None:
        ended = Ended(0)
        await ended.fetched(3)
        assert (ended.queue.qsize(), ended.left) == (1, 2)

    asyncio.run(play())
