"""The load of a run: as many kinds of producers as there are in the world, and a journal of what each was told."""

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from creditstream.simulation.mix import Line, make_mix
from tests.chaos.books import read_topic
from tests.chaos.console import NEWS_EVERY_MS, Console, console_producer
from tests.chaos.evidence import Sent

TOPIC = "orders"
#: Of 100 orders: so many lines repeat one, contradict one, or are no orders.
_DUPLICATES, _CONFLICTS, _MALFORMED = 8, 3, 3
#: Of 100 orders: so many are of customers of whom the risk API has no file.
_NO_FILE = 2
_PER_SECOND = 10
#: What may wait for Kafka's answer: with the broker away the load stands still instead of filling memory.
_UNANSWERED = 2_000
#: Through Kafka's own console producer: enough to have null keys from a real one, as it gives no receipts.
_BY_CONSOLE = 0.1


def partition_by_crc32(key: bytes, partitions: int) -> int:
    """librdkafka's default for a record with a key (`consistent_random`)."""
    return zlib.crc32(key) % partitions


def partition_by_murmur2(key: bytes, partitions: int) -> int:
    """Kafka's own default for a record with a key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def make_lines(rate: float, seconds: float, seed: int, *, no_file: int = _NO_FILE) -> list[Line]:
    """So many lines that they last for `seconds` at `rate` lines per second; `no_file`: so many of 100 orders."""
    orders = max(1, int(rate * seconds * 100 / (100 + _DUPLICATES + _CONFLICTS + _MALFORMED)))
    duplicates, conflicts, malformed = (orders * share // 100 for share in (_DUPLICATES, _CONFLICTS, _MALFORMED))
    no_file = orders * no_file // 100
    return make_mix(orders, duplicates, conflicts, malformed, seed, no_file=no_file, now=datetime.now(UTC))


def _is_text(value: bytes) -> bool:
    """The console producer reads text: it would send other bytes in place of those that are none."""
    return value.decode(errors="replace").encode() == value


class Load:
    """Sends `lines` at `rate` per second. `sent` is the journal; `unsure` counts records that were sent again."""

    def __init__(
        self, brokers: str, console: Path, lines: Sequence[Line], *, rate: float, partitions: int, seed: int
    ) -> None:
        self._brokers, self._console, self._lines = brokers, console, list(lines)
        #: Asked when all lines are sent: an empty list ends the load.
        self.more: Callable[[], list[Line]] = list
        #: All that was planned is sent.
        self.is_over = False
        #: `partitions`: at first; more are found as any producer finds them.
        self._rate, self._partitions, self._dice = rate, partitions, random.Random(seed)
        self.sent: list[Sent] = []
        self.unsure = 0
        self.producers: Counter[str] = Counter()
        self._homes: dict[object, int] = {}
        self._unanswered = asyncio.Semaphore(_UNANSWERED)
        self._by_console: list[Line] = []
        self._failed = asyncio.Queue[tuple[Line, int, bytes | None]]()

    @property
    def total(self) -> int:
        return len(self._lines)

    async def run(self) -> None:
        """Ends when Kafka has acknowledged every line."""
        async with console_producer(self._console, self._brokers, TOPIC) as console, self._producing() as producer:
            async with asyncio.TaskGroup() as answers:
                await self._send_all(producer, console, answers)
            await console.end()
            await self._send_again(producer, [(line, self._anywhere(), None) for line in await self._missing()])

    async def send_now(self, lines: Sequence[Line]) -> None:
        """Beside the load, or before it: acknowledged when this returns. Throws no dice, so that the load replays."""
        async with self._producing() as producer, asyncio.TaskGroup() as answers:
            for line in lines:
                await self._unanswered.acquire()
                partition = zlib.crc32(line.value) % self._partitions
                answers.create_task(self._deliver(producer, line, partition, None))

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = await self._started()
        try:
            yield producer
        finally:
            await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        """As long as it takes for the broker to come back."""
        patience = {"request_timeout_ms": 10_000, "retry_backoff_ms": 200, "metadata_max_age_ms": NEWS_EVERY_MS}
        while True:
            producer = AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all", linger_ms=5, **patience)
            try:
                await producer.start()
            except (KafkaError, OSError):
                await producer.stop()
                await asyncio.sleep(0.5)
            else:
                return producer

    async def _send_all(self, producer: AIOKafkaProducer, console: Console, answers: asyncio.TaskGroup) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        step = max(1, int(self._rate / _PER_SECOND))
        start, planned = 0, len(self._lines)
        while start < len(self._lines) or self._lines_more():
            self.is_over = start >= planned
            lines, start = self._lines[start : start + step], start + step
            for line in lines:
                if self._dice.random() < _BY_CONSOLE and _is_text(line.value):
                    await self._type(console, line)
                else:
                    await self._send(producer, line, answers)
            # After a pause the load goes on at its rate: what was held back is not sent in one rush.
            due = max(due + step / self._rate, clock() - 1.0)
            await asyncio.sleep(max(0.0, due - clock()))
        self.is_over = True

    def _lines_more(self) -> bool:
        more = self.more()
        self._lines += more
        return bool(more)

    async def _send(self, producer: AIOKafkaProducer, line: Line, answers: asyncio.TaskGroup) -> None:
        self._partitions = max(self._partitions, len(await producer.partitions_for(TOPIC)))
        partition, key = self._place(line)
        await self._unanswered.acquire()
        answers.create_task(self._deliver(producer, line, partition, key))

    async def _deliver(self, producer: AIOKafkaProducer, line: Line, partition: int, key: bytes | None) -> None:
        """Until it is acknowledged: what failed may be there all the same, and is sent again like producers do."""
        try:
            while True:
                try:
                    done = await producer.send_and_wait(TOPIC, line.value, key=key, partition=partition)
                except (KafkaError, OSError):
                    self.unsure += 1
                    await asyncio.sleep(0.5)
                else:
                    self.sent.append(Sent(line.kind, line.value, (done.partition, done.offset)))
                    return
        finally:
            self._unanswered.release()

    def _place(self, line: Line) -> tuple[int, bytes | None]:
        """By the producer's partitioner; half of all repeats on another partition than their original's."""
        key = str(line.order_id).encode() if line.order_id else b"spoilt"
        ways = {
            "null key": (self._anywhere(), None),
            "crc32": (partition_by_crc32(key, self._partitions), key),
            "murmur2": (partition_by_murmur2(key, self._partitions), key),
        }
        name = self._dice.choice(sorted(ways))
        self.producers[name] += 1
        partition, key_or_none = ways[name]
        if line.kind == "order":
            self._homes[line.order_id] = partition
        elif line.order_id in self._homes and self._dice.random() < 0.5:
            partition = (self._homes[line.order_id] + 1 + self._dice.randrange(self._partitions - 1)) % self._partitions
        return partition, key_or_none

    def _anywhere(self) -> int:
        return self._dice.randrange(self._partitions)

    async def _type(self, console: Console, line: Line) -> None:
        """No receipt: whether it arrived shows at the end, on the topic."""
        self.producers["console"] += 1
        self._by_console.append(line)
        self.sent.append(Sent(line.kind, line.value))
        if not await console.type(line.value):
            self.unsure += 1  # the line is sent again at the end

    async def _missing(self) -> list[Line]:
        """Lines that were typed and are not on the topic."""
        if not self._by_console:
            return []
        there = {record.value for record in await read_topic(self._brokers, TOPIC)}
        return [line for line in self._by_console if line.value not in there]

    async def _send_again(self, producer: AIOKafkaProducer, records: Iterable[tuple[Line, int, bytes | None]]) -> None:
        for line, partition, key in records:
            self.unsure += 1
            await self._unanswered.acquire()
            await self._deliver(producer, line, partition, key)
