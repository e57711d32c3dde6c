"""What was published in a partition before a worker had it is asked for, once, and again while Kafka is away."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from creditstream.errors import BrokerUnavailable
from creditstream.order.ports import Mark
from creditstream.store.marks import Marks
from creditstream.worker.inherited import Inherited


class Kafka:
    """Of each partition one mark."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []
        self.is_away = False

    async def __call__(self, partitions: Collection[int]) -> list[Mark]:
        self.asked.append(set(partitions))
        if self.is_away:
            raise BrokerUnavailable("away")
        return [Mark(UUID(int=each)) for each in sorted(partitions)]


class Store:
    def __init__(self) -> None:
        self.expected: list[int] = []

    def expect(self, marks: Iterable[Mark]) -> None:
        self.expected += [mark.order_id.int for mark in marks]


def test_of_each_partition_that_is_new_once() -> None:
    async def scenario() -> None:
        kafka, store = Kafka(), Store()
        inherited = Inherited(store, kafka)
        inherited.own(frozenset({1, 2}))
        assert await inherited.run_once()
        inherited.own(frozenset({2, 3}))
        kafka.is_away = True
        assert not await inherited.run_once()
        inherited.own(frozenset({2, 4}))
        kafka.is_away = False
        assert await inherited.run_once() and await inherited.run_once()
        assert kafka.asked == [{1, 2}, {3}, {4}], "what moved on meanwhile is its next owner's to ask"
        assert store.expected == [1, 2, 4]

    asyncio.run(scenario())


def test_what_is_given_while_a_statement_is_under_way_is_asked_with_the_next() -> None:
    for before in ([], [Mark(UUID(int=1))]):
        marks = Marks()
        marks.expect(before)
        under_way: dict[str, Any] = marks.parameters()
        marks.expect([Mark(UUID(int=2))])
        marks.passed(under_way)
        assert str(UUID(int=2)) in str(marks.parameters()["marks"])
