"""A producer that is thrown away while somebody publishes through it: nobody waits for ever (found by simulation)."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from creditstream.errors import BrokerUnavailable
from creditstream.kafka.publisher import Publisher
from creditstream.order.ports import Outgoing

_WITHIN = 30.0
_RECORDS = {0: [Outgoing(b"key", b"value")]}


class _Producer:
    """As aiokafka's, whose broker does not know the topic: a batch waits for metadata, and `close` wakes nobody."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self._sender = self.client = SimpleNamespace(close=self._close)
        self._message_accumulator = SimpleNamespace(fail_all=lambda _error: None)

    async def _close(self) -> None: ...

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_record: True)

    async def send_batch(self, _batch: Any, _topic: str, **_options: Any) -> Any:
        self.waits.set()
        await asyncio.Event().wait()


async def _waiting() -> tuple[Publisher, "asyncio.Future[dict[int, int]]"]:
    """A publisher, and a call that waits for metadata."""
    producer: Any = _Producer()
    publisher = Publisher(producer)
    publishing = asyncio.ensure_future(publisher.publish("order-status", _RECORDS))
    await producer.waits.wait()
    return publisher, publishing


def test_what_waits_for_metadata_ends_when_the_producer_is_thrown_away() -> None:
    async def scenario() -> None:
        publisher, publishing = await _waiting()
        await publisher.abandon()
        with pytest.raises(BrokerUnavailable, match="order-status: given up"):
            await publishing

    asyncio.run(asyncio.wait_for(scenario(), _WITHIN))


def test_a_caller_who_is_cancelled_publishes_no_more() -> None:
    async def scenario() -> None:
        publisher, publishing = await _waiting()
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert not publisher._publishing

    asyncio.run(asyncio.wait_for(scenario(), _WITHIN))
