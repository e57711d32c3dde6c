"""One suite for the fake risk API and for the real client against the simulator; then what only HTTP can do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
import stamina.instrumentation

from creditstream.config.settings import Settings
from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.order.ports import Risk
from creditstream.risk.attempts import Backoff
from creditstream.risk.client import RiskClient
from creditstream.simulation.risk_answers import Mode
from creditstream.simulation.risk_api import Simulator, score_for, serve
from creditstream.simulation.risk_control import Control, Script
from devtools.fakes import FakeRisk, an_order
from schemas.assessment import Assessment
from schemas.order import Order

#: An API that asks for more patience than the deadline allows: the client gives up at once.
GIVE_UP = Script(status=503, retry_after="3600")


class World(Protocol):
    """A risk API, and how to make it answer."""

    risk: Risk

    def score(self, order: Order) -> int: ...
    def refuse_next(self, order: Order) -> None: ...
    def fail_next(self, order: Order) -> None: ...
    def know_nothing_next(self, order: Order) -> None: ...
    def calls(self) -> int: ...


class FakeWorld:
    def __init__(self) -> None:
        self.fake = FakeRisk()
        self.risk: Risk = self.fake

    def score(self, order: Order) -> int:
        return self.fake.usual.score

    def refuse_next(self, order: Order) -> None:
        self.fake.script(order.order_id, RiskRefused("told to refuse"))

    def fail_next(self, order: Order) -> None:
        self.fake.script(order.order_id, RiskUnavailable("told to fail"))

    def know_nothing_next(self, order: Order) -> None:
        self.fake.script(order.order_id, RiskUnusable("told to know nothing", ("no_file",), "fake-1"))

    def calls(self) -> int:
        return len(self.fake.calls)


class HttpWorld:
    def __init__(self, client: RiskClient, simulator: Simulator) -> None:
        self.risk: Risk = client
        self.client, self.simulator = client, simulator
        self.outcomes: list[str] = []
        client.on_call = lambda outcome, seconds: self.outcomes.append(outcome)

    def score(self, order: Order) -> int:
        return score_for(order.order_id)

    def script(self, order: Order, *scripts: Script) -> None:
        self.simulator.control(Control(orders={order.order_id: scripts}))

    def refuse_next(self, order: Order) -> None:
        self.script(order, Script(status=422))

    def fail_next(self, order: Order) -> None:
        self.script(order, GIVE_UP)

    def know_nothing_next(self, order: Order) -> None:
        self.script(order, Script(mode="no_file"))

    def calls(self) -> int:
        return len(self.simulator.received)


@asynccontextmanager
async def fake() -> AsyncIterator[FakeWorld]:
    yield FakeWorld()


@asynccontextmanager
async def http(deadline: float = 30.0, attempt_timeout: float = 10.0) -> AsyncIterator[HttpWorld]:
    simulator = Simulator(keep=10_000)
    async with serve(simulator) as url:
        settings = Settings(risk_url=url + "/", risk_deadline=deadline, risk_attempt_timeout=attempt_timeout)
        client = await RiskClient.open(settings, backoff=Backoff(initial=0.001, jitter=0.0, maximum=0.001))
        try:
            yield HttpWorld(client, simulator)
        finally:
            await client.close()


Open = Callable[[], AbstractAsyncContextManager[World]]
both = pytest.mark.parametrize("world", [fake, http])


def run(world: Open, test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with world() as opened:
            await test(opened)

    asyncio.run(inside())


@both
def test_an_order_is_scored(world: Open) -> None:
    async def test(world: World) -> None:
        order = an_order()
        assessment = await world.risk.assess(order)
        assert isinstance(assessment, Assessment)
        assert assessment.score == world.score(order)
        assert assessment.model_version
        assert world.calls() == 1

    run(world, test)


@both
def test_a_refusal_is_for_good_and_not_repeated(world: Open) -> None:
    async def test(world: World) -> None:
        order = an_order()
        world.refuse_next(order)
        with pytest.raises(RiskRefused):
            await world.risk.assess(order)
        assert world.calls() == 1

    run(world, test)


@both
def test_an_answer_without_a_score_is_an_outcome_and_not_repeated(world: Open) -> None:
    """Asked again, the bureau may know more."""

    async def test(world: World) -> None:
        order = an_order()
        world.know_nothing_next(order)
        with pytest.raises(RiskUnusable) as failure:
            await world.risk.assess(order)
        assert failure.value.reasons == ("no_file",) and failure.value.model_version
        assert world.calls() == 1
        assert (await world.risk.assess(order)).score == world.score(order)

    run(world, test)


@both
def test_a_failure_says_that_it_may_pass_and_does(world: Open) -> None:
    async def test(world: World) -> None:
        order = an_order()
        world.fail_next(order)
        with pytest.raises(RiskUnavailable) as failure:
            await world.risk.assess(order)
        assert failure.value.attempts == 1
        assert (await world.risk.assess(order)).score == world.score(order)

    run(world, test)


@both
def test_orders_at_the_same_time_get_their_own_answers(world: Open) -> None:
    async def test(world: World) -> None:
        orders = [an_order() for _ in range(50)]
        world.refuse_next(orders[7])
        world.fail_next(orders[8])
        answers = await asyncio.gather(*map(world.risk.assess, orders), return_exceptions=True)
        assert isinstance(answers[7], RiskRefused)
        assert isinstance(answers[8], RiskUnavailable)
        for order, answer in zip(orders, answers, strict=True):
            assert isinstance(answer, Exception) or (
                isinstance(answer, Assessment) and answer.score == world.score(order)
            )

    run(world, test)


def over_http(test: Callable[[HttpWorld], Awaitable[None]], deadline: float = 30.0, attempt: float = 10.0) -> None:
    async def inside() -> None:
        async with http(deadline, attempt) as world:
            await test(world)

    asyncio.run(inside())


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refusing_statuses(status: int) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=status))
        with pytest.raises(RiskRefused, match=str(status)):
            await world.risk.assess(order)
        assert world.outcomes == ["refused"]

    over_http(test)


@pytest.mark.parametrize(
    "status",
    [204, 301, 302, 307, 401, 403, 405, 408, 409, 410, 413, 425, 429, 500, 501, 502, 503, 504, 599],
)
def test_other_statuses_are_tried_again(status: int) -> None:
    """401 and 403 as well: a credential that is put right heals them. Redirects are not followed."""

    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=status), Script(status=status))
        assert (await world.risk.assess(order)).score == world.score(order)
        outcome = "throttled" if status == 429 else "unavailable"
        assert world.outcomes == [outcome, outcome, "scored"]
        assert world.calls() == 3

    over_http(test)


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("garbage", "bad_answer"),
        ("html", "bad_answer"),
        ("huge", "bad_answer"),
        ("reset", "broken"),
    ],
)
def test_what_is_no_answer_is_tried_again(mode: Mode, outcome: str) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(mode=mode))
        assert (await world.risk.assess(order)).score == world.score(order)
        assert world.outcomes == [outcome, "scored"]

    over_http(test)


@pytest.mark.parametrize("mode", ["no_file", "out_of_range", "ambiguous", "another_order", "several"])
def test_what_is_an_answer_without_a_usable_score_is_not_tried_again(mode: Mode) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(mode=mode))
        with pytest.raises(RiskUnusable):
            await world.risk.assess(order)
        assert (world.outcomes, world.calls()) == (["unusable"], 1)

    over_http(test)


def test_an_attempt_that_hangs_is_given_up_and_tried_again() -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(mode="hang"))
        assert (await world.risk.assess(order)).score == world.score(order)
        assert world.outcomes == ["timeout", "scored"]

    over_http(test, attempt=0.2)


def test_every_attempt_is_the_same_to_the_byte() -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=503), Script(mode="reset"), Script(mode="garbage"))
        await world.risk.assess(order)
        first = world.simulator.received[0]
        assert first[0] == str(order.order_id)
        assert list(world.simulator.received) == [first] * 4

    over_http(test)


def test_another_record_of_the_order_asks_the_same_to_the_byte() -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        await world.risk.assess(order)
        await world.risk.assess(an_order(order_id=order.order_id, metadata={"trace": "another"}))
        assert world.simulator.received[0] == world.simulator.received[1]
        assert world.simulator.journal()["changed_bodies"] == 0

    over_http(test)


def test_the_deadline_ends_all_attempts() -> None:
    async def test(world: HttpWorld) -> None:
        with pytest.raises(RiskUnavailable) as failure:
            await world.risk.assess(an_order(customer_id="down-1"))
        assert world.calls() > 1
        # The deadline may have ended an attempt before it reached the server.
        assert failure.value.attempts in (world.calls(), world.calls() + 1)

    over_http(test, deadline=0.3, attempt=0.3)


def test_the_deadline_ends_an_attempt_that_hangs() -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, *[Script(mode="hang")] * 9)
        with pytest.raises(RiskUnavailable) as failure:
            await world.risk.assess(order)
        assert world.outcomes == ["timeout"] * failure.value.attempts
        assert failure.value.attempts == 2

    over_http(test, deadline=0.3, attempt=0.2)


@pytest.mark.parametrize("before", [[], [Script(status=503)]])
def test_no_attempt_is_longer_than_the_deadline(before: list[Script]) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, *before, Script(mode="hang"))
        world.client._attempt_timeout = 3600.0  # settings would not allow it
        with pytest.raises(RiskUnavailable) as failure:
            await world.risk.assess(order)
        assert failure.value.attempts == len(before) + 1

    over_http(test, deadline=0.2, attempt=0.2)


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long each retry was told to wait."""
    waited: list[float] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: waited.append(details.wait_for)])
    yield waited
    stamina.instrumentation.set_on_retry_hooks(None)


def test_retry_after_is_honoured(waits: list[float]) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=429, retry_after="0.05"), Script(status=503), Script(status=503))
        await world.risk.assess(order)
        assert waits == [pytest.approx(wait) for wait in (0.05, 0.001, 0.001)]

    over_http(test)


def test_retry_after_beyond_the_deadline_is_not_waited_for(waits: list[float]) -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=503), GIVE_UP)
        with pytest.raises(RiskUnavailable) as failure:
            await world.risk.assess(order)
        assert failure.value.attempts == world.calls() == 2
        assert len(waits) == 1

    over_http(test)


def test_nobody_listens() -> None:
    async def test() -> None:
        async with serve(Simulator()) as url:
            pass
        # One attempt and no other before the deadline: a last one that the deadline cut short would say so instead.
        settings = Settings(risk_url=url, risk_deadline=1.0, risk_attempt_timeout=1.0)
        client = await RiskClient.open(settings, backoff=Backoff(60.0, 0.0, 60.0))
        with pytest.raises(RiskUnavailable, match="connection"):
            await client.assess(an_order())
        await client.close()

    asyncio.run(test())


def test_a_cancelled_order_stops_asking() -> None:
    async def test(world: HttpWorld) -> None:
        order = an_order()
        world.script(order, Script(status=503), Script(mode="hang"))
        task = asyncio.create_task(world.risk.assess(order))
        while world.calls() < 2:  # noqa: ASYNC110 - the simulator counts, and tells nobody
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.outcomes == ["unavailable", "cancelled"]

    over_http(test)


def test_a_body_of_a_reused_connection_is_not_mixed_up() -> None:
    """After a huge answer that was not read to its end, the connection is not used again."""

    async def test(world: HttpWorld) -> None:
        for _ in range(5):
            order = an_order()
            world.script(order, Script(mode="huge"))
            assert (await world.risk.assess(order)).score == world.score(order)

    over_http(test)
