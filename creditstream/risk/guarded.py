"""The risk API behind its guards: circuit breaker, adaptive limit, contractual pace and retry budget, in one gate."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from creditstream.config.settings import Settings
from creditstream.order.ports import Risk
from creditstream.risk.allowance import Pace, RetryBudget
from creditstream.risk.attempts import Backoff
from creditstream.risk.breaker import Breaker, BreakerRule, State
from creditstream.risk.client import OnCall, RiskClient
from creditstream.risk.limiter import Limiter
from creditstream.risk.unusable import UnusableLimit
from schemas.assessment import Assessment
from schemas.order import Order

log = logging.getLogger(__name__)

#: Calls in flight at first: it grows by half every tenth of a second until the API shows a queue.
_START = 64
#: The API did its part: it answered about the order.
_ANSWERED = frozenset({"scored", "refused", "unusable"})


class Gate:
    """Who may call now: calls wait here in the order in which they came, as long as it takes. One of a worker."""

    def __init__(
        self,
        *,
        breaker: Breaker,
        limiter: Limiter,
        pace: Pace,
        budget: RetryBudget,
        unusable: UnusableLimit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker, self.limiter, self.pace, self.budget = breaker, limiter, pace, budget
        self.unusable = unusable
        self._clock = clock
        #: Calls that repeated a failed one.
        self.repeats = 0
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self, *, again: bool = False) -> int:
        """A ticket for one call that starts now; `again`: a repeat that the budget has allowed. `leave` with it."""
        now = self._clock()
        ticket = None if self._waiting else self._admit(now)
        if ticket is None:
            ticket = await self._wait(now)
        if again:
            self.repeats += 1
        else:
            self.budget.first(now)
        return ticket

    def leave(self, ticket: int, outcome: str, seconds: float, retry_after: float = 0.0) -> None:
        """The call ended. Outcomes are those of `RiskClient`."""
        now = self._clock()
        if outcome == "cancelled":
            self.limiter.cancelled()
            self.breaker.cancelled(ticket)
        else:
            failed = outcome not in _ANSWERED
            if not failed:
                self.unusable.count(outcome == "unusable", now)
            self.limiter.ended(now, seconds, dropped=failed)
            self.breaker.ended(ticket, now, failed=failed, retry_after=retry_after)
        if self._waiting:
            self._pump()

    def may_repeat(self, ticket: int) -> bool:
        """Not a failed probe: another order is the next one, so that one that always fails does not hold up all."""
        return not self.breaker.is_probe(ticket) and self.budget.take(self._clock())

    def _admit(self, now: float) -> int | None:
        if self.limiter.in_flight >= self.limiter.limit or self.pace.wait(now):
            return None
        ticket = self.breaker.admit(now)
        if ticket is not None:
            self.limiter.start()
            self.pace.start(now)
        return ticket

    async def _wait(self, now: float) -> int:
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._wake_later(now)
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it was let in at the same moment
                self.leave(place.result(), "cancelled", 0.0)
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def _pump(self) -> None:
        now = self._clock()
        while self._waiting:
            if self._waiting[0].cancelled():
                self._waiting.popleft()
            elif (ticket := self._admit(now)) is None:
                self._wake_later(now)
                return
            else:
                self._waiting.popleft().set_result(ticket)

    def _wake_later(self, now: float) -> None:
        """What passes by time alone; everything else ends with a call."""
        delay = max(self.pace.wait(now), self.breaker.probe_in(now))
        if self._timer is None and 0 < delay < math.inf:
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()


class GuardedRisk(Risk):
    """`creditstream.order.ports.Risk` over HTTP with the gate before every call."""

    def __init__(self, client: RiskClient, gate: Gate, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self.gate, self._clock = client, gate, clock

    @classmethod
    async def open(cls, settings: Settings, *, on_call: OnCall | None = None, backoff: Backoff | None = None) -> Self:
        """As `RiskClient.open`."""
        gate = make_gate(settings)
        return cls(await RiskClient.open(settings, guard=gate, on_call=on_call, backoff=backoff), gate)

    async def close(self) -> None:
        await self._client.close()

    async def assess(self, order: Order) -> Assessment:
        return await self._client.assess(order)

    def closed_for(self, idle: bool) -> str:
        """Why no order may be taken now, or empty. `idle`: none is in flight, so that the next would be the probe."""
        breaker = self.gate.breaker
        if breaker.state == "closed" or (idle and not breaker.probe_in(self._clock())):
            return ""
        return "the risk API fails, its circuit is open: intake pauses"


def tell(old: State, new: State) -> None:
    """For the breaker: one line for an outage and one for its end; the probes between are details."""
    if old == "closed":
        log.warning("the risk API fails: circuit open, intake pauses until a probe is answered")
    elif new == "closed":
        log.warning("the risk API answers again: circuit closed, intake goes on")
    else:
        log.debug("risk API circuit: %s, was %s", new, old)


def make_gate(settings: Settings, clock: Callable[[], float] = time.monotonic) -> Gate:
    """The gate by the settings."""
    rule = BreakerRule(
        share=settings.risk_breaker_share,
        min_calls=settings.risk_breaker_min_calls,
        window=settings.risk_breaker_window,
        pause=settings.risk_breaker_pause,
    )
    floor, ceiling = settings.risk_concurrency_floor, settings.risk_concurrency
    limiter = Limiter(floor=floor, ceiling=ceiling, start=_START, cpu=_wanted_cpu)
    return Gate(
        breaker=Breaker(rule, tell),
        limiter=limiter,
        pace=Pace(rate=settings.risk_rate),
        budget=RetryBudget(share=settings.risk_retry_share),
        unusable=UnusableLimit(
            least=settings.risk_breaker_min_calls,
            share=settings.risk_breaker_share,
            window=settings.risk_breaker_window,
        ),
        clock=clock,
    )


def _wanted_cpu() -> float:
    """Seconds for which this thread ran or was ready to: on a crowded machine latency is our own wait for a core."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            ran, waited, *_ = file.read().split()
    except (OSError, ValueError):
        return time.process_time()  # no Linux
    return (int(ran) + int(waited)) / 1e9
