"""Closing aiokafka's consumers, and commands whose admin client meets a broker that goes away."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from creditstream.config.settings import Settings
from creditstream.kafka import client
from creditstream.kafka.client import stop
from creditstream.operations.commands import _Command


class _Consumer:
    """As aiokafka's, of which a fetch had just failed: its stop awaits a task that it has cancelled itself."""

    def __init__(self, *, fails: bool) -> None:
        self._fails, self.may_end, self.closed = fails, asyncio.Event(), asyncio.Event()
        self._client, self._fetcher = SimpleNamespace(close=self._close), None

    async def stop(self) -> None:
        await self.may_end.wait()
        if self._fails:
            raise asyncio.CancelledError
        await self._close()

    async def _close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("fails", [False, True])
def test_a_consumer_is_closed_and_nobody_is_cancelled(fails: bool) -> None:
    async def scenario() -> None:
        consumer = _Consumer(fails=fails)
        consumer.may_end.set()
        await stop(consumer)
        assert consumer.closed.is_set()

    asyncio.run(scenario())


def test_a_caller_who_is_cancelled_is_cancelled_and_the_consumer_is_closed_all_the_same() -> None:
    async def scenario() -> None:
        consumer = _Consumer(fails=True)
        stopping = asyncio.ensure_future(stop(consumer))
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled()
        consumer.may_end.set()
        await consumer.closed.wait()

    asyncio.run(asyncio.wait_for(scenario(), 10.0))


class _Deaf(_Consumer):
    """Its partitions were given up just now: it loses the first cancel of the task that fetches."""

    def __init__(self) -> None:
        super().__init__(fails=False)
        self._fetcher: Any = SimpleNamespace(_fetch_task=asyncio.ensure_future(self._fetch()))

    async def stop(self) -> None:
        self._fetcher._fetch_task.cancel()
        await asyncio.wait([self._fetcher._fetch_task])
        await self._close()

    async def _fetch(self) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()


def test_a_consumer_that_loses_a_cancel_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_AGAIN", 0.01)

    async def scenario() -> None:
        consumer = _Deaf()
        await asyncio.sleep(0)  # it fetches
        await stop(consumer)
        assert consumer.closed.is_set()

    asyncio.run(asyncio.wait_for(scenario(), 10.0))


def test_a_broker_that_goes_away_is_one_line_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    class look(_Command):
        async def work(self) -> int:
            raise KafkaConnectionError("connection to somewhere closed")

    command = cast(Any, look.__new__(look))
    command.app, command.kwargs = SimpleNamespace(settings=Settings()), {}
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "KafkaConnectionError: run it again when Kafka answers" in said
