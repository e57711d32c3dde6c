"""Steps 4 and 5: ask PostgreSQL about what may be settled, ask the risk API about the rest, decide."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.metrics.instruments import Instruments
from creditstream.order.fair_queue import FairQueue
from creditstream.order.flight import Flight
from creditstream.order.look_ups import LookUps
from creditstream.order.policy import Policy, decide
from creditstream.order.ports import Answer, Mark, NotYet, Refused, Risk, Store
from creditstream.order.retry import RetryRule
from creditstream.order.settlement import Settlement
from creditstream.order.unanswered import Unanswered
from creditstream.order.unforeseen import note
from schemas.decision import RISK_UNAVAILABLE, Decision, unscored
from schemas.status import Row

log = logging.getLogger(__name__)

#: Ids asked for in one look-up query.
_LOOKUP_BATCH = 500


class Scoring:
    """Gives every order that is added an outcome, with at most `concurrency` risk calls at a time."""

    def __init__(
        self,
        *,
        concurrency: int,
        store: Store,
        risk: Risk,
        policy: Policy,
        retry: RetryRule,
        settlement: Settlement,
        metrics: Instruments,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._concurrency, self._now = concurrency, now
        self._store, self._risk, self._policy, self._retry = store, risk, policy, retry
        self._settlement, self._metrics = settlement, metrics
        self._unscored = FairQueue()
        self._maybe_settled: deque[Flight] = deque()
        self._look_up = asyncio.Event()
        self._unanswered, self._look_ups = Unanswered(self._look_it_up), LookUps(store, metrics)

    def add(self, flight: Flight, *, may_be_settled: bool) -> None:
        """`may_be_settled`: an earlier owner of its partition may have decided it, and a bureau query costs money."""
        if may_be_settled:
            self._look_it_up(flight)
        else:
            self._start(flight)

    def _look_it_up(self, flight: Flight) -> None:
        self._maybe_settled.append(flight)
        self._look_up.set()

    def _start(self, flight: Flight) -> None:
        """Nobody is asked about an order that no rule could decide, and it waits for no call of another's."""
        if self._policy.rule(flight.order.product):
            self._unscored.put_nowait(flight)
        elif not flight.over:  # given up: the same order may be on its way again, in a flight of its own
            log.info("order %s: no rule for its product", flight.order.order_id, extra=flight.place)
            _settle(flight, unscored("unknown_product", policy_version=self._policy.version))
            self._settlement.add(flight)

    @property
    def longest_wait(self) -> float:
        """Seconds between two turns of an order at most."""
        return self._retry.longest_wait

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._look_up_loop()
        for _ in range(self._concurrency):
            yield self._score_loop()

    async def _look_up_loop(self) -> None:
        while True:
            await self._look_up.wait()
            await self.look_up_once()

    async def _score_loop(self) -> None:
        task = asyncio.current_task()  # asked for once: for each order it costs 2 % of what the order does
        while True:
            await self._score_next(task)

    async def look_up_once(self) -> None:
        """One query for many ids; what is settled goes on to what follows the commit, the rest is scored."""
        batch = [self._maybe_settled.popleft() for _ in range(min(_LOOKUP_BATCH, len(self._maybe_settled)))]
        if not self._maybe_settled:
            self._look_up.clear()
        found = await self._look_ups.find(batch)
        for flight in batch:
            self._judge(flight, found.get(flight.order.order_id))

    def _judge(self, flight: Flight, found: Answer | None) -> None:
        """By what is committed of it. Of a row that was removed nobody is asked anything."""
        found = self._unanswered.judged(flight, found)
        if isinstance(found, NotYet):
            return
        if found is None and flight.remembered is not None:
            self._miss(flight)
            return
        flight.is_repeat = found is not None and flight.is_repeat_of(found)
        if isinstance(found, Refused):
            flight.refused = True
            self._settlement.add_committed(flight, found)
        elif found is not None and (flight.is_repeat or _is_over(flight, found)):
            flight.row = found
            self._settlement.add_committed(flight, found)
        else:
            flight.replaces = found.version if found is not None and found.waits_for_person else None
            self._start(flight)

    def _miss(self, flight: Flight) -> None:
        """PostgreSQL does not have what `seen` holds: it was taken back, or the id has outlived its month.

        Not found once more, although nothing is missing by then: nobody was told of it, and it is a new order.
        """
        if flight.is_missed:
            flight.remembered = None
            self._start(flight)
        else:
            flight.is_missed = True
            self._store.expect([Mark(flight.order.order_id, flight.order.created_at)])
            self._look_it_up(flight)

    async def score_once(self) -> None:
        """The next order. Whatever happens, it gets an outcome."""
        await self._score_next(asyncio.current_task())

    async def _score_next(self, task: asyncio.Task[None] | None) -> None:
        flight = await self._unscored.get()
        if flight.over:
            return
        flight.asking = task
        try:
            await self._score(flight)
        except asyncio.CancelledError:
            # Given up, unless it is the worker that stops; both at once stays a cancellation.
            if flight.asking is not None or task is None or task.uncancel():
                raise
        finally:
            flight.asking = None
        if not flight.over:
            self._settlement.add(flight)

    async def _score(self, flight: Flight) -> None:
        """Ask about it, and what the answer means for it."""
        order_id = flight.order.order_id
        try:
            _settle(flight, decide(flight.order, await self._risk.assess(flight.order), self._policy))
        except RiskRefused as error:
            log.info("order %s is refused by the risk API: %s", order_id, error, extra=flight.place)
            _settle(flight, unscored("risk_refused"))
        except RiskUnusable as error:
            log.info("order %s has no usable answer: %s", order_id, error, extra=flight.place)
            _settle(flight, unscored("no_usable_answer", reasons=error.reasons, model_version=error.model_version))
        except RiskUnavailable as error:
            log.info("order %s could not be scored: %s", order_id, error, extra=flight.place)
            self._give_up_for_now(flight, error.retry_after)
        except Exception as error:  # noqa: BLE001 - whatever it is, the order has its next turn
            note(self._metrics, "scored", error, flight.place)
            self._give_up_for_now(flight)

    def _give_up_for_now(self, flight: Flight, retry_after: float = 0.0) -> None:
        flight.turn = self._retry.next_turn(flight.turn, self._now(), retry_after)
        if flight.turn.due:
            flight.decision, flight.outcome = unscored(RISK_UNAVAILABLE), "parked"
        else:
            _settle(flight, unscored("attempts_exhausted"))


def _settle(flight: Flight, decision: Decision) -> None:
    flight.decision, flight.outcome = decision, "for_a_person" if decision.status == "under_review" else "decided"


def _is_over(flight: Flight, row: Row) -> bool:
    """Nothing is left to ask about: it is settled, and nobody sent its letter again; or the row is another order's."""
    return not row.is_of(flight.fingerprint) or (row.is_settled and not (flight.reopens and flight.reopens.takes(row)))
