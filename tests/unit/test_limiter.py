"""The adaptive limit against simulated APIs with a capacity, the pace of a contract, and the retry budget."""

import heapq
import itertools
import random
from collections import deque
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.metrics.window import Window
from creditstream.risk.allowance import Pace, RetryBudget
from creditstream.risk.limiter import Limiter

_SERVICE = 0.05


class Answered(NamedTuple):
    at: float
    latency: float


class Phase(NamedTuple):
    """From `start` on the API has so many slots, and a call takes `service` in one of them."""

    start: float
    slots: int
    service: float = _SERVICE


class SlottedApi:
    """A queue before a number of slots; callers that always have another order. Events, no clock."""

    def __init__(self, limiter: Limiter, phases: list[Phase], spread: float = 0.0) -> None:
        self.limiter, self._phases, self._spread = limiter, deque(phases), spread
        self._slots = self._busy = 0
        self._now = 0.0
        self._service = _SERVICE
        self._queue: deque[float] = deque()
        self._running: list[tuple[float, int, float]] = []
        self._count, self._dice = itertools.count(), random.Random(1)
        self.answered: list[Answered] = []

    def run(self, until: float) -> None:
        while self._now < until:
            while self._phases and self._phases[0].start <= self._now:
                _, self._slots, self._service = self._phases.popleft()
            while self.limiter.in_flight < self.limiter.limit:
                self.limiter.start()
                self._queue.append(self._now)
            self._fill()
            self._now, _, came = heapq.heappop(self._running)
            self._busy -= 1
            self.limiter.ended(self._now, self._now - came)
            self.answered.append(Answered(self._now, self._now - came))

    def _fill(self) -> None:
        while self._queue and self._busy < self._slots:
            self._busy += 1
            takes = self._service * self._dice.lognormvariate(0, self._spread)
            heapq.heappush(self._running, (self._now + takes, next(self._count), self._queue.popleft()))

    def throughput(self, since: float, until: float) -> float:
        return sum(since <= each.at < until for each in self.answered) / (until - since)

    def p99(self, since: float, until: float) -> float:
        latencies = sorted(each.latency for each in self.answered if since <= each.at < until)
        return latencies[int(len(latencies) * 0.99)]


def a_limiter() -> Limiter:
    return Limiter(floor=4, ceiling=1_000, start=64)


@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize("slots", [20, 100, 250])
def test_it_finds_the_capacity_from_cold_and_follows_its_halving_and_doubling(slots: int, spread: float) -> None:
    api = SlottedApi(a_limiter(), [Phase(0, slots), Phase(30, slots // 2), Phase(60, slots)], spread)
    api.run(90)
    unloaded = SlottedApi(Limiter(floor=1, ceiling=1, start=1), [Phase(0, 1)], spread)
    unloaded.run(60)
    for since, capacity in ((15, slots), (45, slots // 2), (75, slots)):
        assert api.throughput(since, since + 15) >= 0.9 * capacity * unloaded.throughput(0, 60)
        # Calls that queue here start together and wait a whole round: the coarsest case there is.
        assert api.p99(since, since + 15) <= 2.05 * unloaded.p99(0, 60)


def test_a_fixed_limit_of_a_thousand_does_worse() -> None:
    fixed = SlottedApi(Limiter(floor=1_000, ceiling=1_000, start=1_000), [Phase(0, 100)])
    fixed.run(30)
    assert fixed.p99(15, 30) > 8 * _SERVICE


def test_a_brown_out_is_survived_and_recovered_from_within_ten_seconds() -> None:
    api = SlottedApi(a_limiter(), [Phase(0, 200), Phase(20, 200, 10 * _SERVICE), Phase(50, 200)])
    api.run(75)
    assert api.throughput(60, 75) >= 0.9 * 200 / _SERVICE


def test_an_api_that_is_slow_for_good_gets_all_it_can_take() -> None:
    api = SlottedApi(a_limiter(), [Phase(0, 50), Phase(20, 50, 4 * _SERVICE)])
    api.run(60)
    assert api.throughput(45, 60) >= 0.9 * 50 / (4 * _SERVICE)


def test_it_never_leaves_its_bounds_and_keeps_a_fixed_one() -> None:
    api = SlottedApi(Limiter(floor=8, ceiling=50, start=20), [Phase(0, 1_000), Phase(20, 1)])
    api.run(20)
    assert api.limiter.limit == 50
    api.run(40)
    assert 8 <= api.limiter.limit <= 11, "the floor, and room for a queue"
    fixed = SlottedApi(Limiter(floor=30, ceiling=30, start=20), [Phase(0, 5)])
    fixed.run(20)
    assert fixed.limiter.limit == 30


def test_it_does_not_grow_when_nobody_needs_it() -> None:
    limiter = a_limiter()
    for number in range(1_000):
        limiter.start()
        limiter.ended(number * 0.05, 0.05)
    assert limiter.limit == 64


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_latency_that_is_our_own_does_not_shrink_it(share: float) -> None:
    """The same latencies, ten times the first ones; only that we are busy tells that the API is not."""
    now = 0.0
    limiter = Limiter(floor=4, ceiling=100, start=100, cpu=lambda: share * now)
    for seconds in (0.01, *[0.1] * 20):
        for _ in range(100):
            while limiter.in_flight < limiter.limit:
                limiter.start()
            now += 0.004
            limiter.ended(now, seconds)
    assert (limiter.limit == 100) == (share == 0.9)
    assert share == 0.9 or limiter.limit < 50


def test_dropped_calls_halve_it_and_chance_ones_do_not() -> None:
    limiter = a_limiter()
    now = 0.0

    def calls(dropped: int) -> None:
        nonlocal now
        for number in range(40):
            limiter.start()
            limiter.ended(now := now + 0.01, 0.01, dropped=number % 40 < dropped)

    calls(2)
    calls(2)
    assert limiter.limit == 64
    calls(40)
    calls(40)
    assert limiter.limit <= 10


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 10), st.booleans(), st.booleans()), max_size=200))
def test_whatever_is_measured_the_limit_is_sane(ends: list[tuple[float, float, bool, bool]]) -> None:
    limiter, now = Limiter(floor=2, ceiling=100, start=10), 0.0
    for passed, seconds, dropped, cancelled in ends:
        now += passed
        while limiter.in_flight < limiter.limit:
            limiter.start()
        if cancelled:
            limiter.cancelled()
        else:
            limiter.ended(now, seconds, dropped=dropped)
        assert 2 <= limiter.limit <= 100
        assert limiter.in_flight >= 0


def test_the_unloaded_latency_is_not_known_before_it_was_measured() -> None:
    limiter = a_limiter()
    assert limiter.unloaded == 0.0
    for number in range(40):
        limiter.start()
        limiter.ended(number * 0.01, 0.25)
    assert limiter.unloaded == pytest.approx(0.25)


# -- the pace


@given(st.integers(1, 2_000), st.lists(st.floats(0, 0.5), min_size=1, max_size=50))
def test_in_no_second_are_there_more_starts_than_agreed(rate: int, idles: list[float]) -> None:
    pace, now, starts = Pace(rate), 0.0, deque[float]()
    for idle in idles:
        now += idle
        for _ in range(60):
            now += pace.wait(now)
            pace.start(now)
            starts.append(now)
            while starts[0] <= now - 1:
                starts.popleft()
            assert len(starts) <= rate + 1  # the ends of the second may both have one


def test_the_pace_is_reached_although_timers_are_late() -> None:
    pace, now, started = Pace(1_000), 0.0, 0
    while now < 10:
        now += pace.wait(now) + 0.001
        while not pace.wait(now):
            pace.start(now)
            started += 1
    assert started >= 0.95 * 10_000


def test_without_a_rate_nobody_waits() -> None:
    pace = Pace(0)
    pace.start(0.0)
    assert pace.wait(0.0) == 0.0


# -- the budget


def test_repeats_are_a_share_of_the_orders_and_a_few_when_there_are_few() -> None:
    budget = RetryBudget(0.2)
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    for _ in range(100):
        budget.first(1.0)
    assert sum(budget.take(1.0) for _ in range(100)) == 20
    assert budget.take(20.0), "a new window"


def test_what_healthy_times_allowed_is_not_spent_when_orders_hardly_come_through() -> None:
    budget, now = RetryBudget(0.2), 0.0
    for _ in range(10_000):
        budget.first(now := now + 0.001)
    now += 1.1
    assert sum(budget.take(now) for _ in range(2_000)) == 10


def test_no_share_means_no_repeats() -> None:
    assert not RetryBudget(0.0).take(0.0)


@given(st.lists(st.tuples(st.floats(0, 4), st.booleans()), max_size=200))
def test_a_window_counts_what_is_in_it(things: list[tuple[float, bool]]) -> None:
    window, now, added = Window(10.0), 0.0, list[tuple[float, bool]]()
    for passed, marked in things:
        now += passed
        window.add(now, marked)
        added.append((now, marked))
        window.pass_to(now)
        certain = [each for when, each in added if when > now - 9.0 + 1e-6]
        possible = [each for when, each in added if when > now - 11.0 - 1e-6]
        assert len(certain) <= window.total <= len(possible)
        assert sum(certain) <= window.marked <= sum(possible)
