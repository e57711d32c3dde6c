"""What the consumer's thread asks of aiokafka and makes of the answers: where to start, what is to be read."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaConnectionError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.protocol.group import HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from creditstream.kafka import consumer_thread
from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.lease import Lease

_TP, _ANOTHERS = TP("orders", 0), TP("orders", 1)


class _Fetcher:
    """Knows the log's end, and with transactions that are open that of what may be read."""

    def __init__(self, end: Any) -> None:
        self._end, self._isolation_level = end, READ_COMMITTED

    async def end_offsets(self, tps: list[TP], _timeout: int) -> dict[TP, int]:
        return dict.fromkeys(tps, self._end if self._isolation_level == READ_UNCOMMITTED else 0)


class Kafkas:
    """aiokafka's consumer, as far as it is asked; `committed_to`: what it was told to commit."""

    def __init__(self, **known: Any) -> None:
        self._known, self._request_timeout_ms = known, 1
        self._fetcher = _Fetcher(known.get("end"))
        self.committed_to: list[dict[Any, int]] = []
        self.fails = False

    @property
    def _subscription(self) -> Any:
        state = SimpleNamespace(lso=self._known["stable"], highwater=self._known["end"])
        assignment = SimpleNamespace(tps=frozenset([_TP]), state_value=lambda _tp: state)
        return SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    async def committed(self, _tp: TP) -> Any:
        return self._known["committed"]

    async def beginning_offsets(self, tps: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, self._known["first"])

    async def commit(self, offsets: dict[Any, Any]) -> None:
        if self.fails:
            raise KafkaConnectionError
        self.committed_to.append({TP(*tp): committed.offset for tp, committed in offsets.items()})


def thread_of(consumer: Kafkas, monkeypatch: pytest.MonkeyPatch) -> InOrderThread:
    thread = InOrderThread.__new__(InOrderThread)
    thread._consumer, thread._lease = cast(Any, consumer), Lease(10.0)
    thread.log = cast(Any, logging.getLogger("test"))
    monkeypatch.setattr(InOrderThread, "_ensure_consumer", lambda _: consumer)
    monkeypatch.setattr(InOrderThread, "assignment", lambda _: {_TP})
    return thread


@pytest.mark.parametrize(
    ("stable", "end", "readable_to", "hidden"),
    [
        (9, 9, 9, None),
        (5, 9, 5, (5, 9)),
        (0, 9, 0, (0, 9)),
        (None, 9, 9, None),
        (-1, 9, 9, None),  # as a broker says that it does not know
        (5, None, 5, None),
        (None, None, None, None),
    ],
)
def test_a_partition_ends_where_a_transaction_is_open(
    stable: int | None, end: int | None, readable_to: int | None, hidden: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = thread_of(Kafkas(stable=stable, end=end), monkeypatch)
    assert thread.highwater(_TP) == readable_to
    assert thread.open_transaction(_TP) == hidden


@pytest.mark.parametrize(
    ("committed", "start", "gone_from"),
    [(None, 10, None), (10, 10, None), (15, 15, None), (20, 20, None), (9, 10, 9), (21, 10, None)],
)
def test_a_partition_starts_at_its_committed_offset_if_its_log_has_that(
    committed: int | None,
    start: int,
    gone_from: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread = thread_of(Kafkas(committed=committed, first=10, end=20), monkeypatch)
    assert asyncio.run(thread._starting_points({_TP})) == {_TP: (start, 20, gone_from, committed is not None)}
    is_told = f"committed offset {committed} is not in the log 10-20" in caplog.text
    assert is_told == (committed is not None and committed != start)


def test_only_offsets_of_partitions_that_are_ours_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Kafkas()
    thread = thread_of(consumer, monkeypatch)
    assert asyncio.run(thread._commit({_TP: 7, _ANOTHERS: 8}))
    assert consumer.committed_to == [{_TP: 7}]
    assert not asyncio.run(thread._commit({_ANOTHERS: 8})), "nothing to commit"
    consumer.fails = True
    assert not asyncio.run(thread._commit({_TP: 9})), "it will be with the next ones"
    assert consumer.committed_to == [{_TP: 7}]


@pytest.mark.parametrize("leaves", [True, False])
def test_the_lease_is_over_before_the_group_is_left(leaves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have the partitions at once then, whatever this worker still does."""
    held: list[bool] = []
    consumer = Kafkas()
    thread = thread_of(consumer, monkeypatch)

    async def stop() -> None:
        held.append(thread._lease.holds(consumer_thread.lease_clock()))
        if not leaves:
            raise KafkaConnectionError

    monkeypatch.setattr(consumer, "stop", stop, raising=False)
    thread._lease.renew(consumer_thread.lease_clock())
    assert thread._lease.holds(consumer_thread.lease_clock())
    asyncio.run(thread.on_thread_stop())
    assert held == [False]


def test_what_a_producer_aborted_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    faust = SimpleNamespace(_isolation_level="read_uncommitted")
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: faust)
    thread = thread_of(Kafkas(), monkeypatch)
    assert thread._create_worker_consumer(object())._isolation_level == "read_committed"


@pytest.mark.parametrize(
    ("request_type", "answer", "renews"),
    [
        (HeartbeatRequest, NoError, True),
        (HeartbeatRequest, RebalanceInProgressError, True),
        (SyncGroupRequest, NoError, True),
        (HeartbeatRequest, UnknownMemberIdError, False),
        (HeartbeatRequest, IllegalGenerationError, False),
        (LeaveGroupRequest, NoError, False),
    ],
)
def test_only_what_says_that_it_is_a_member_renews_the_lease(
    request_type: Any, answer: Any, renews: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(_request: Any) -> Any:
        return SimpleNamespace(error_code=answer.errno)

    thread = thread_of(Kafkas(), monkeypatch)
    coordinator = SimpleNamespace(_send_req=send)
    thread._renew_lease(coordinator)
    asyncio.run(coordinator._send_req(request_type.__new__(request_type)))
    assert thread._lease.holds(consumer_thread.lease_clock()) is renews
