"""Work that can wait takes all of an idle worker, and a little of one with orders."""

import asyncio
from collections.abc import Callable

import pytest

from creditstream.kafka import throttle
from creditstream.kafka.throttle import Throttle


class Worker:
    """Spends a hundredth of a second of processor time with each look."""

    def __init__(self, busy: bool) -> None:
        self.looks, self.busy = 0, busy

    def spent(self) -> float:
        self.looks += 1
        return self.looks / 100

    def is_busy(self) -> bool:
        return self.busy


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_STEP", 0.0)
    monkeypatch.setattr(throttle, "_LONGEST", 60.0)


def looks(worker: Worker, records: int) -> int:
    asyncio.run(Throttle(worker.is_busy, worker.spent).after(records))
    return worker.looks


def test_an_idle_worker_reads_on_at_once() -> None:
    assert looks(Worker(busy=False), 1_000_000) == 1


@pytest.mark.parametrize("records", [2_500, 25_000])
def test_while_orders_wait_others_have_four_fifths(records: int) -> None:
    """2,500 records cost 0.02 s, so it waits until 0.1 s are spent."""
    assert looks(Worker(busy=True), records) == pytest.approx(records / 250, abs=2)


def test_a_worker_that_becomes_idle_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(busy=True)
    monkeypatch.setattr(worker, "spent", _then(worker.spent, lambda: setattr(worker, "busy", worker.looks < 3)))
    assert looks(worker, 1_000_000) == 3


def test_orders_that_only_wait_hold_it_back_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_LONGEST", 0.01)
    asyncio.run(Throttle(lambda: True, lambda: 0.0).after(1_000_000))


def test_everybody_else_has_a_turn_whatever_is_idle() -> None:
    async def play() -> None:
        turns: list[str] = []
        asyncio.get_running_loop().call_soon(lambda: turns.append("another"))
        await Throttle(lambda: False, lambda: 0.0).after(1)
        assert turns

    asyncio.run(play())


def _then(first: Callable[[], float], second: Callable[[], object]) -> Callable[[], float]:
    def both() -> float:
        value = first()
        second()
        return value

    return both
