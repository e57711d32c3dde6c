"""Workers over one store and one broker, all fakes: a seed decides what happens next."""

import random
from collections import defaultdict
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from creditstream.operations.dead_letter import Letter, read_letter
from creditstream.operations.dlq.replay import send_again
from creditstream.order.ports import Outgoing
from creditstream.order.record import Record
from devtools.fakes import FakeStore
from schemas.order import Order
from tests.unit.deadly import AnyAnswer, DeadlyPublisher, Killed
from tests.unit.pipeline_rig import NOW, ROUTES, FakePublisher, Rig, home_of, order_json
from tests.unit.test_dlq import TO, record_of

TOPICS = ("orders", "orders-by-id", "orders-retry")
PLACES = [(topic, partition) for topic in TOPICS for partition in range(ROUTES.partitions)]
_MOST_RECORDS = 16
_LONG = 500


class World:
    """`problems` is what went wrong while it was played."""

    def __init__(self, seed: int, *, deadly: bool) -> None:
        self.dice, self.deadly = random.Random(seed), deadly
        self.publisher, self.store = DeadlyPublisher(self.dice), FakeStore()
        self.risk = AnyAnswer(self.dice, self.asked)
        self.orders: dict[int, list[Outgoing]] = defaultdict(list)
        self.done: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.problems: list[str] = []
        self.zombie: Rig | None = None
        self._elapsed, self._deaths = 0.0, 0
        self.rig = self._start()

    def _start(self) -> Rig:
        rig = Rig(store=self.store, publisher=self.publisher)
        rig.scoring._risk = self.risk
        rig.time, rig.now = self._elapsed, NOW + timedelta(seconds=self._elapsed)
        for partition, mark in self.publisher.topics["seen-changelog"]:
            rig.seen.put(partition, {mark.key: mark.value}, 0)
        self._next = {place: self.committed(place) for place in PLACES}
        self._replayed_until = {place: len(self.records(place)) for place in PLACES}
        return rig

    def records(self, place: tuple[str, int]) -> list[Outgoing]:
        topic, partition = place
        return (
            self.orders[partition]
            if topic == "orders"
            else [record for where, record in self.publisher.topics[topic] if where == partition]
        )

    def committed(self, place: tuple[str, int]) -> int:
        return next(offset for offset in range(len(self.done[place]) + 1) if offset not in self.done[place])

    def letters(self) -> dict[bytes, list[Letter]]:
        """By the record that they are about, in their order."""
        found: dict[bytes, list[Letter]] = defaultdict(list)
        for partition, record in self.publisher.topics["orders-dead-letter"]:
            letter = read_letter(record_of(record.value, record.headers, partition=partition, key=record.key))
            found[letter.identity].append(letter)
        return found

    def asked(self, order: Order) -> None:
        """Of an order that is settled only if its letter was sent again, and the row is the one that it tells of."""
        row, flight = self.store.rows.get(order.order_id), self.rig.pipeline.flights.get(order.order_id)
        if row is None or not row.is_settled or self._deaths:
            return
        if flight is None or flight.reopens is None or flight.reopens.version != row.version:
            self.problems.append(f"asked about what is settled: {row.reason} {row.version}")

    def deliver(self, place: tuple[str, int]) -> bool:
        topic, partition = place
        offset, records, rig = self._next[place], self.records(place), self.rig
        if offset == len(records):
            return False
        self._next[place] += 1
        key, value, headers = records[offset]
        again = offset < self._replayed_until[place]
        record = rig.record(
            value, topic=topic, partition=partition, offset=offset, headers=headers, key=key, replayed=again
        )
        record.acknowledge = partial(self._acknowledge, rig, record)
        (rig.accept_retry if topic == "orders-retry" else rig.pipeline.accept)(record)
        return True

    def _acknowledge(self, rig: Rig, record: Record) -> None:
        if rig is self.rig:
            self.done[record.topic, record.partition].add(record.offset)

    # -- what may happen

    async def step(self) -> None:
        happen: list[Any] = [self._new] + [self._repeat] * 2 + [self._some] * 3 + [self._part] * 8
        happen += [self._wait, self._replay] + [self._die, self._light, self._awake] * self.deadly
        try:
            await self.dice.choice(happen)()
        except Killed:
            await self._die()

    async def _new(self) -> None:
        product = self.dice.choice(["personal_loan", "personal_loan", "yacht"])
        self._send(order_json(UUID(int=self.dice.getrandbits(128), version=4), product=product))

    async def _repeat(self) -> None:
        sent = [record.value for records in self.orders.values() for record in records]
        if sent:
            value = msgspec.json.decode(self.dice.choice(sent) or b"")
            self._send(msgspec.json.encode({**value, "amount": self.dice.choice([value["amount"], "7.00"])}))

    def _send(self, value: bytes) -> None:
        if sum(map(len, self.orders.values())) < _MOST_RECORDS:
            home = home_of(value)
            self.orders[self.dice.choice([home, home, (home + 1) % 4])].append(Outgoing(None, value))

    async def _some(self) -> None:
        for place in PLACES:
            if self.dice.random() < 0.5:
                self.deliver(place)
        await self.rig.run(self.dice.randrange(3))

    async def _part(self) -> None:
        """One loop's next turn."""
        self.deliver(self.dice.choice(PLACES))
        rig = self.rig
        parts: list[Any] = [
            rig.scoring.look_up_once,
            rig.settlement.commit_once,
            rig.settlement.finish_once,
            rig.outbox.run_once,
            self._judge_again,
        ]
        await self.dice.choice([*parts, partial(self._score, rig)])()

    async def _score(self, rig: Rig) -> None:
        if not rig.scoring._unscored.empty():
            await rig.scoring.score_once()

    async def _judge_again(self) -> None:
        self.rig.pipeline.judge_again()

    async def _wait(self) -> None:
        seconds = self.dice.choice([0.5, 2.0, 31.0])
        self._elapsed += seconds
        self.rig.advance(seconds)

    async def _replay(self) -> None:
        """Some last letters, and some that are not the last."""
        for letters in self.letters().values():
            if self.dice.random() < 0.5:
                await self.send_again(self.dice.choice([letters[-1], self.dice.choice(letters)]))

    async def send_again(self, letter: Letter) -> None:
        """Those that go back to `orders` would be new records."""
        sending = send_again(letter, TO, "ana", NOW)
        if sending.topic != "orders":
            await FakePublisher.publish(self.publisher, sending.topic, {sending.partition: [sending.record]})

    async def _die(self) -> None:
        """Or lose all partitions, and not know it."""
        self.zombie, self._deaths, self.publisher.fuse = self.rig, self._deaths + 1, -1
        self.rig = self._start()

    async def _light(self) -> None:
        self.publisher.fuse = self.dice.randrange(1, 6)

    async def _awake(self) -> None:
        """A zombie still asks and commits; its publishing is fenced."""
        if self.zombie:
            await self._score(self.zombie)
            await self.zombie.settlement.commit_once()

    async def rest(self) -> None:
        """Until nothing is on its way."""
        self.publisher.fuse = -1
        for _ in range(_LONG):
            news = [self.deliver(place) for place in PLACES]
            if not (any(news) or self.rig.pipeline.flights or self.rig.pipeline.waiting or self.rig.pipeline.unsent):
                return
            self._elapsed += 31
            self.rig.advance(31)
            await self.rig.run(3)
        self.problems.append("there is no end to it")
