"""What a rebalance costs, seen from outside: by the topics, the workers' logs and /proc; and a group that remembers."""

import asyncio
import os
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from uuid import UUID

import psycopg2
from aiokafka import TopicPartition

from bench.burst import produce, some_orders
from bench.contenders import Creditstream, Place
from creditstream.config.load import load_settings
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, SEEN_CHANGELOG, topic_name
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing
from devtools.wait import wait_for

_AT_WORK = re.compile(r"at work on partitions \[([\d, ]*)\]")
_MARKS = 100_000
_KEYS = """
INSERT INTO order_keys (order_id, created_at, fingerprint)
SELECT gen_random_uuid(), now(), decode(md5(random()::text), 'hex') FROM generate_series(1, %s)
"""


class Worker(Creditstream):
    """One of a group, on a disk of its own."""

    began = 0.0

    def start(self) -> None:
        """Returns when it has partitions."""
        self.launch()
        self.wait(120.0)

    def launch(self) -> None:
        """Only the process."""
        self._had, self.began = len(_AT_WORK.findall(self.log())), time.time()
        says, type(self).says = type(self).says, ""
        try:
            super().start()
        finally:
            type(self).says = says

    def wait(self, deadline: float) -> None:
        """Until it has partitions."""
        wait_for(lambda: len(_AT_WORK.findall(self.log())) > self._had, deadline, f"{self.place.folder} is at work")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def wipe(self) -> None:
        shutil.rmtree(self.place.folder / "data", ignore_errors=True)

    @property
    def partitions(self) -> frozenset[int]:
        found = _AT_WORK.findall(self.log())
        return frozenset(int(each) for each in found[-1].split(",")) if found and found[-1] else frozenset()

    @property
    def is_whole(self) -> bool:
        """It says so when something was to be read."""
        return "records loaded from its changelog" in self.log().rpartition("at work on partitions")[2]

    def rss_mb(self) -> float:
        return int(Path(f"/proc/{self.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Seen(NamedTuple):
    """Of one order: when it came, when its last status was written, and its partition. Seconds since 1970."""

    came: float
    told: float
    partition: int

    @property
    def wait(self) -> float:
        return self.told - self.came


class Load:
    """Orders come at a rate, while the block lasts. `seen` afterwards: what became of each."""

    def __init__(self, place: Place, rate: int, seconds: float, seed: int) -> None:
        self.place, self.seconds = place, seconds
        self._lines = some_orders(int(rate * seconds), seed)
        self._thread = threading.Thread(target=lambda: asyncio.run(produce(place, self._lines, rate)))
        self.seen: list[Seen] = []

    def __enter__(self) -> "Load":
        self._since = asyncio.run(_ends(self.place))
        self.began = time.time()
        self._thread.start()
        return self

    def until(self, seconds: float) -> None:
        """So long after its beginning."""
        time.sleep(max(0.0, self.began + seconds - time.time()))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._thread.join()
        if error is None:
            wait_for(self._is_over, 120.0, "every order has a decision")

    def _is_over(self) -> bool:
        came, told = asyncio.run(_records(self.place, self._since))
        if len(came) < len(self._lines) or came.keys() - told.keys():
            return False
        self.seen = [Seen(came[key], *told[key]) for key in came]
        return True


Told = dict[bytes, tuple[float, int]]


async def _ends(place: Place) -> dict[TopicPartition, int]:
    settings = load_settings(place.environ)
    topics = await Topics.open(settings, [topic_name(settings, each) for each in (ORDERS, ORDER_STATUS)])
    await topics.close()
    return topics.bounds.ends


async def _records(place: Place, since: dict[TopicPartition, int]) -> tuple[dict[bytes, float], Told]:
    """When each order came first; when its last decision was published, and where."""
    settings = load_settings(place.environ)
    names = [topic_name(settings, each) for each in (ORDERS, ORDER_STATUS)]
    topics = await Topics.open(settings, names)
    came: dict[bytes, float] = {}
    told: Told = {}
    try:
        async for records in topics.read(names[0], since):
            for record in records:
                came.setdefault(record.key, record.timestamp / 1000)
        async for records in topics.read(names[1], since):
            for record in records:
                if b'"under_review"' not in record.value:
                    told[record.key] = (record.timestamp / 1000, record.partition)
    finally:
        await topics.close()
    return came, told


def remember(place: Place, had: int, ids: int) -> None:
    """The group remembers `ids` orders, `had` of which it has already: marks on the changelog, and their ids."""
    asyncio.run(_mark(place, ids - had))
    with closing(psycopg2.connect(place.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for done in range(had, ids, 1_000_000):
            cursor.execute(_KEYS, (min(1_000_000, ids - done),))
        cursor.execute("VACUUM ANALYZE order_keys")


async def _mark(place: Place, ids: int) -> None:
    settings = load_settings(place.environ)
    topic = topic_name(settings, SEEN_CHANGELOG)
    publisher = await Publisher.open(settings)
    try:
        for done in range(0, ids, _MARKS):
            records: dict[int, list[Outgoing]] = defaultdict(list)
            for order_id in _ids(min(_MARKS, ids - done)):
                records[home_partition(order_id, settings.partitions)].append(Outgoing(order_id.bytes, os.urandom(16)))
            await publisher.publish(topic, records)
            print(f"\rmarks: {done + len(records):,} of {ids:,}", end="", flush=True)
    finally:
        await publisher.close()
    print()


def _ids(count: int) -> Iterable[UUID]:
    return (UUID(bytes=os.urandom(16), version=4) for _ in range(count))
