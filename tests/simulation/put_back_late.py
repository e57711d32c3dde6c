"""The faults of the core that reading and the first simulation found (issue 17), as patches of the product's code."""

import asyncio
from typing import Any

from creditstream.kafka.delivery import InOrderDelivery
from creditstream.kafka.offsets import Progress
from creditstream.kafka.reading import Hole
from creditstream.order.changelog import Changelog
from creditstream.order.outbox import until_published
from creditstream.store import queries
from creditstream.worker.loops import Loops
from tests.chaos.put_in import put_in


def repeats_past_a_rebalance() -> None:
    """A failed publish is repeated as it was, through whatever producer is open then, whoever owns the partitions."""

    async def attempt(self: Changelog, term: int, records: Any) -> None:
        if not records:
            return
        self._terms.require(term)
        last = await until_published(self._publisher, self._topic, records)
        self._terms.require(term)
        self._write(records, last)

    put_in(Changelog, "_attempt", attempt)


def waiting_over_a_settled_row() -> None:
    """*Waiting* gives way like any other state: the statement without its condition."""
    statements: Any = queries._statements()
    settle = statements["settle_orders"]
    condition = "AND given.reason <> 'waiting_for_risk'"
    assert condition in settle, "the statement has this condition no more: the fault would change nothing"
    statements["settle_orders"] = settle.replace(condition, "")


def late_marks() -> None:
    """What was delivered is written on the disk whoever owns the partition by then."""

    async def attempt(self: Changelog, term: int, records: Any) -> None:
        if not records:
            return
        self._terms.require(term)
        last = await self._publisher.publish(self._topic, records)
        self._write(records, last)

    put_in(Changelog, "_attempt", attempt)


def silent_truncation() -> None:
    """Offsets below the one that is expected are passed over, without a word."""
    deliver = InOrderDelivery._deliver_source

    async def without_the_old(self: InOrderDelivery, tp: Any, epoch: int, progress: Progress, queues: Any) -> None:
        backlog = self._backlog[tp]
        kept = [each for each in backlog if type(each) is Hole or each.offset >= progress.expected]
        backlog.clear()
        backlog.extend(kept)
        await deliver(self, tp, epoch, progress, queues)

    put_in(InOrderDelivery, "_deliver_source", without_the_old)


def loops_that_end_unseen() -> None:
    """The end of the first loop is looked at, if it is an error; a loop that ends later is nobody's business."""

    async def watch(self: Loops) -> None:
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            if not task.cancelled():
                task.result()

    put_in(Loops, "watch", watch)
