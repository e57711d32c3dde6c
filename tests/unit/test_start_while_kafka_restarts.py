"""A broker that goes away between the preflight and Faust's own start: a worker waits for it, and does not end.

Seen in a run of make chaos, with a broker and all workers killed within a moment.
"""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import KafkaConnectionError

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.transport import PatientProducer

#: Seconds between two tries, and until the last.
_PATIENCE = 0.05


class Client:
    """One of aiokafka's, which fails to start as long as `away` holds something."""

    def __init__(self, away: list[str], seen: list[str]) -> None:
        self._away, self._seen = away, seen

    _fetcher, _coordinator = SimpleNamespace(), None

    async def start(self) -> None:
        self._seen.append("start")
        if self._away:
            self._away.pop()
            raise KafkaConnectionError("Unable to bootstrap")

    async def stop(self) -> None:
        self._seen.append("stop")


def producer_of(away: list[str], seen: list[str]) -> Any:
    producer = cast(Any, PatientProducer.__new__(PatientProducer))
    producer.app = SimpleNamespace(settings=Settings(start_timeout=_PATIENCE))
    producer._new_producer = lambda: Client(away, seen)
    producer.add_runtime_dependency = AsyncMock()
    producer.buffer = None
    return producer.on_start


def thread_of(away: list[str], seen: list[str]) -> Any:
    thread = cast(Any, InOrderThread.__new__(InOrderThread))
    thread.consumer = SimpleNamespace(app=SimpleNamespace(settings=Settings(start_timeout=_PATIENCE)))
    thread.thread_loop = None
    thread._create_consumer = lambda loop: Client(away, seen)
    thread._renew_lease = thread._assign_known_topics_only = lambda coordinator: None
    return thread.on_start


@pytest.mark.parametrize("make", [producer_of, thread_of])
def test_it_is_tried_again_and_what_failed_is_closed(make: Any) -> None:
    seen: list[str] = []
    asyncio.run(make(["once"], seen)())
    assert seen == ["start", "stop", "start"]


@pytest.mark.parametrize("make", [producer_of, thread_of])
def test_for_so_long_and_no_longer(make: Any) -> None:
    with pytest.raises(StartError, match=r"Kafka .* does not answer"):
        asyncio.run(make(["for ever"] * 100, [])())
