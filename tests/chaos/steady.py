"""A quiet day's load: new orders at an even rate, a few lines that are none, and somebody who looks at the page."""

import asyncio
import contextlib
import itertools
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from creditstream.simulation.mix import make_mix

_BATCH = 500
#: In each batch, repeats and lines that are no orders: well below what an alert minds.
_DUPLICATES, _MALFORMED = 10, 5
_LOOK_EVERY = 1.0
_SPOILT = b"not an order"


class Steady:
    """`spoilt`: the share of lines that are no orders, beside the few that there always are."""

    def __init__(self, brokers: str, topic: str, rate: float) -> None:
        self._brokers, self._topic, self._rate = brokers, topic, rate
        self.spoilt = 0.0
        self.sent = 0

    async def run(self) -> None:
        """Until cancelled."""
        producer = AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all", linger_ms=5)
        await producer.start()
        clock = asyncio.get_running_loop().time
        due = clock()
        try:
            for number, value in enumerate(_values()):
                await self._send(producer, value)
                if number * self.spoilt % 1 < self.spoilt:
                    await self._send(producer, _SPOILT)
                # After a pause the load goes on at its rate: what was held back is not sent in one rush.
                due = max(due + 1 / self._rate, clock() - 1.0)
                await asyncio.sleep(max(0.0, due - clock()))
        finally:
            await producer.stop()

    async def flood(self, lines: int) -> None:
        """So many lines that are no orders, at once."""
        async with AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all", linger_ms=5) as producer:
            for _ in range(lines):
                await self._send(producer, _SPOILT)

    async def _send(self, producer: AIOKafkaProducer, value: bytes) -> None:
        """Not waited for, and not sent again: what is on the topic is what counts."""
        with contextlib.suppress(KafkaError):
            await producer.send(self._topic, value)
            self.sent += 1


def _values() -> Iterator[bytes]:
    for seed in itertools.count(1):
        lines = make_mix(_BATCH, _DUPLICATES, 0, _MALFORMED, seed=seed, now=datetime.now(UTC))
        yield from (line.value for line in lines)


async def look_at_pages(urls: Callable[[], Sequence[str]]) -> None:
    """Until cancelled: each page that answers, once a second."""
    while True:
        for url in urls():
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_get, f"{url}/stats")
        await asyncio.sleep(_LOOK_EVERY)


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=5) as answer:
        answer.read()
