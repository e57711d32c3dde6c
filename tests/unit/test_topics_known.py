"""A broker that has just come back, and does not know its topics yet: nothing is computed from what it says then."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import TopicAlreadyExistsError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka import topics
from creditstream.kafka.topics import all_topics, create_topics, partition_counts

_GROWN = 12
_NAMES = [topic.name for topic in all_topics(Settings())]


class _Broker:
    """What it answers, look by look: how many partitions each topic has; None: it does not list it."""

    def __init__(self, *looks: Mapping[str, int | None]) -> None:
        self._looks, self._now = list(looks), looks[0]
        self.created: list[str] = []

    async def list_topics(self) -> list[str]:
        self._now = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return [name for name, count in self._now.items() if count is not None]

    async def describe_topics(self, names: list[str]) -> list[Any]:
        return [{"topic": name, "partitions": range(self._now[name] or 0)} for name in names]

    async def create_topics(self, wanted: list[Any]) -> Any:
        self.created += [topic.name for topic in wanted]
        return SimpleNamespace(topic_errors=[(topic.name, TopicAlreadyExistsError.errno, None) for topic in wanted])

    async def close(self) -> None: ...


def _started(broker: _Broker, monkeypatch: pytest.MonkeyPatch) -> int:
    async def open_admin(_: Settings) -> _Broker:
        return broker

    monkeypatch.setattr(topics, "open_admin", open_admin)
    monkeypatch.setattr(topics, "_POLL", 0.0)
    return asyncio.run(create_topics(Settings()))


def test_topics_that_are_there_and_not_listed_have_their_own_count_and_not_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = _Broker(dict.fromkeys(_NAMES), {"orders": _GROWN}, dict.fromkeys(_NAMES, _GROWN))
    assert Settings().partitions != _GROWN
    assert _started(broker, monkeypatch) == _GROWN


@pytest.mark.parametrize("unknown", ["orders", "orders-retry"])
def test_a_topic_without_partitions_is_not_known_yet(unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = _Broker(dict.fromkeys(_NAMES, _GROWN) | {unknown: 0})
    with pytest.raises(BrokerUnavailable, match=unknown):
        _started(broker, monkeypatch)
    with pytest.raises(BrokerUnavailable, match=unknown):
        asyncio.run(partition_counts(broker, _NAMES))


def test_topics_that_never_come_to_be_known_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerUnavailable, match="orders-by-id"):
        _started(_Broker(dict.fromkeys(_NAMES, _GROWN) | {"orders-by-id": None}), monkeypatch)


def test_counts_that_differ_once_all_are_known_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = _Broker(dict.fromkeys(_NAMES), dict.fromkeys(_NAMES, _GROWN) | {"order-status": 8})
    with pytest.raises(StartError, match="order-status has 8 partitions and orders has 12"):
        _started(broker, monkeypatch)
