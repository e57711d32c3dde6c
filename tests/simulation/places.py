"""`PlaceReader` on the model of Kafka, under virtual time: each scenario in a world of its own.

`python -m tests.simulation.places`: prints, as JSON, what was read in each scenario, and after how many virtual
seconds. A process of its own, since its clocks are the world's (tests/unit/test_place_reader.py).
"""

import asyncio
import json
import logging
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from tests.simulation import clocks  # isort: skip  # before everybody who takes `time` by name

import aiokafka.client
from aiokafka import errors

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka import place_reader
from creditstream.kafka.place_reader import PlaceReader
from creditstream.kafka.reading import read_whatever_kafka_has
from tests.simulation.kafka.broker import HOST, PORT, Broker
from tests.simulation.kafka.log import built
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network

TOPIC, _PRODUCER = "orders-retry", 7


class _Faulty(Broker):
    """Has partitions without a leader, and some whose leader says of itself that it is none."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(loop)
        self.leaderless: set[int] = set()
        self.denied: set[int] = set()
        #: How many requests came.
        self.asked = 0
        self.create(TOPIC, 3)

    def handle(self, request: Any, reply: Any) -> None:
        self.asked += 1
        super().handle(request, reply)

    def write(self, partition: int, count: int, size: int = 1) -> None:
        """So many records, a batch each, whose values begin with their offsets."""
        for _ in range(count):
            end = self.topics[TOPIC][partition].end
            self.append(TOPIC, partition, built([(None, f"{end}".ljust(size).encode(), ())], 0))

    def abort(self, partition: int, count: int) -> None:
        """A transaction of so many records, and its marker."""
        for _ in range(count):
            self.append(TOPIC, partition, built([(None, b"aborted", ())], 0, producer_id=_PRODUCER))
        self.topics[TOPIC][partition].end_transaction(_PRODUCER, commit=False)

    def damage(self, partition: int) -> None:
        """A record that a disk has changed."""
        raw = bytearray(built([(None, b"damaged", ())], 0))
        raw[-3] ^= 1
        self.append(TOPIC, partition, bytes(raw))

    def _3(self, request: Any, reply: Any) -> None:
        def without_leaders(answer: Any) -> None:
            for index, (error, name, internal, partitions) in enumerate(answer.topics):
                changed = [self._led(*each) for each in partitions]
                answer.topics[index] = (error, name, internal, changed)
            reply(answer)

        super()._3(request, without_leaders)

    def _led(self, error: int, number: int, leader: int, *rest: Any) -> tuple[Any, ...]:
        if number in self.leaderless:
            return (errors.LeaderNotAvailableError.errno, number, -1, *rest)
        return (error, number, leader, *rest)

    def _read(self, request: Any) -> tuple[list[Any], bool]:
        found, has_any = super()._read(request)
        for _, parts in found:
            for index, (number, *_) in enumerate(parts):
                if number in self.denied:
                    parts[index] = (number, errors.NotLeaderForPartitionError.errno, -1, -1, [], b"")
        return found, has_any


class Reading:
    """What one scenario has to play with. Each read is told: what was found, in how many virtual seconds, and how many
    requests the broker has in the ten seconds after it.
    """

    def __init__(self, broker: _Faulty, reader: PlaceReader) -> None:
        self.broker, self.reader = broker, reader
        self.told: list[Any] = []

    async def read(self, places: Mapping[int, Sequence[int]]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self.reader.read(places)
        except BrokerUnavailable:
            told: Any = "unavailable"
        else:
            told = {f"{number}@{at}": each and each.value.decode().strip() for (number, at), each in found.items()}
        took = loop.time() - began
        await asyncio.sleep(1.0)
        before = self.broker.asked
        await asyncio.sleep(10.0)
        self.told.append([told, took, self.broker.asked - before])


async def a_marker_at_the_logs_end(reading: Reading) -> None:
    reading.broker.write(0, 2)
    reading.broker.abort(0, 2)  # offsets 2 and 3, and the marker
    await reading.read({0: [4]})
    await reading.read({0: [1, 2, 3, 4]})


async def an_aborted_range_before_others(reading: Reading) -> None:
    reading.broker.abort(0, 100)
    reading.broker.write(0, 2)
    await reading.read({0: [0, 99, 101, 102]})


async def a_log_that_ends_at_the_place(reading: Reading) -> None:
    reading.broker.write(0, 3)
    await reading.read({0: [3]})
    await reading.read({0: [2, 3, 4, 900]})


async def a_log_that_begins_behind_the_place(reading: Reading) -> None:
    reading.broker.write(0, 10)
    reading.broker.topics[TOPIC][0].delete_before(5)
    await reading.read({0: [3, 4, 5, 9]})


async def far_and_near_and_more_than_one_go_takes(reading: Reading) -> None:
    """The other partition answers when the first one has filled the go."""
    reading.broker.write(0, 200, size=100_000)
    reading.broker.write(1, 2)
    reading.broker.denied.add(1)
    reading.broker.loop.call_later(0.5, reading.broker.denied.discard, 1)
    await reading.read({0: range(0, 200, 2), 1: [1]})


async def a_partition_without_a_leader(reading: Reading) -> None:
    await _one_that_fails(reading, reading.broker.leaderless.add)


async def a_leader_that_denies_it(reading: Reading) -> None:
    await _one_that_fails(reading, reading.broker.denied.add)


async def a_damaged_record(reading: Reading) -> None:
    await _one_that_fails(reading, reading.broker.damage)


async def _one_that_fails(reading: Reading, fails: Callable[[int], None]) -> None:
    fails(0)
    for partition in (0, 1, 2):
        reading.broker.write(partition, 2)
    await reading.read({0: [0, 1], 1: [0, 1], 2: [1]})
    await reading.read({0: [0]})


class _LastMoment:
    """In place of a consumer: it answers in the very turn of the loop in which patience ends."""

    def __init__(self) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self._subscription = SimpleNamespace(unsubscribe=lambda: None)

    def assign(self, _partitions: Any) -> None:
        loop, record = asyncio.get_running_loop(), SimpleNamespace(offset=0, value=b"0")
        loop.call_at(loop.time() + place_reader._PATIENCE, self._answer.set_result, record)

    def seek(self, *_: Any) -> None: ...

    def pause(self, *_: Any) -> None: ...

    async def getmany(self, tp: Any, timeout_ms: int) -> dict[Any, list[Any]]:
        return {tp: [await self._answer]}

    async def position(self, _tp: Any) -> int:
        return 1


async def an_answer_in_the_last_moment(reading: Reading) -> None:
    reading.reader._consumer = _LastMoment()
    await reading.read({0: [0]})
    reading.reader._consumer = None


SCENARIOS: Sequence[Callable[[Reading], Awaitable[None]]] = (
    a_marker_at_the_logs_end,
    an_aborted_range_before_others,
    a_log_that_ends_at_the_place,
    a_log_that_begins_behind_the_place,
    far_and_near_and_more_than_one_go_takes,
    a_partition_without_a_leader,
    a_leader_that_denies_it,
    a_damaged_record,
    an_answer_in_the_last_moment,
)


def _played(scenario: Callable[[Reading], Awaitable[None]]) -> list[Any]:
    loop = VirtualLoop()
    broker = _Faulty(loop)
    client: Any = aiokafka.client
    client.create_conn = Network(loop, random.Random(1), broker).connect
    random.seed(1)

    async def play() -> list[Any]:
        reader = PlaceReader(Settings(kafka_brokers=f"{HOST}:{PORT}"), TOPIC)
        reading = Reading(broker, reader)
        await scenario(reading)
        await reader.close()
        return reading.told

    asyncio.set_event_loop(loop)
    told: list[Any] = loop.run_until_complete(play())
    return told


def main() -> None:
    logging.disable(logging.CRITICAL)
    read_whatever_kafka_has()
    told = {}
    for scenario in SCENARIOS:
        clocks.now.seconds, clocks.now.is_played = 0.0, True
        told[scenario.__name__] = _played(scenario)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
