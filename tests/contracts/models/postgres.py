"""The store over PostgreSQL: who writes first, who waits for whom, and what is known when an answer is lost."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from creditstream.errors import StoreUnavailable
from creditstream.order.ports import NotYet, Proposal
from creditstream.store.maintenance import Maintenance
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal, an_order
from schemas.decision import WAITING, Decision, unscored
from schemas.status import Row
from tests.contracts.models.kafka import FrailWay
from tests.contracts.models.scenarios import POSTGRES, Seen

APPROVED = Decision(status="approved", reason="score_above_threshold", score=712, model_version="m", policy_version="p")
REJECTED = Decision(status="rejected", reason="score_below_threshold", score=310)
FOR_A_PERSON = unscored("risk_refused")


class Postgres:
    """A database with our schema. `lose_answer()`, `lose_request()`: the store's next one, with its connection."""

    def __init__(self, store: PostgresStore, way: FrailWay) -> None:
        self.store = store
        self.lose_answer, self.lose_request = way.lose_answer, way.lose_request

    def holding(self, proposal: Proposal) -> AbstractAsyncContextManager["Held"]:
        """Another client has claimed or settled an order, and has not committed: that is when the context ends."""
        raise NotImplementedError

    def maintenance(self) -> AbstractAsyncContextManager[Maintenance]:
        """An operator's session."""
        raise NotImplementedError

    async def until_somebody_waits(self) -> None:
        """For that other client. Raises AssertionError when nobody does."""
        raise NotImplementedError

    def fault(self, name: str) -> AbstractAsyncContextManager[PostgresStore]:
        """A store whose server is "away" or "read-only" while the context lasts."""
        raise NotImplementedError


class Held:
    """What the other client will do at the end: commit, unless it is told otherwise."""

    rolls_back = False


async def _put(store: PostgresStore, proposal: Proposal) -> list[Any]:
    """What is answered for it, and what is read back, if that is something else."""
    try:
        answers = await store.commit([proposal])
    except StoreUnavailable as error:
        return [type(error).__name__]
    answer = answers[proposal.order.order_id]
    found = await store.find([proposal.order.order_id])
    return told(answer) if found == answers else [told(answer), "found", *map(told, found.values())]


def told(answer: Any) -> list[Any]:
    if isinstance(answer, NotYet):
        return ["not yet", answer.at_last and answer.at_last.reason]
    if not isinstance(answer, Row):
        return [answer.reason]
    return [answer.status, answer.reason, answer.score, answer.term_months, answer.version]


_WAITING = ["under_review", "waiting_for_risk", None, 12, 1]


@POSTGRES.scenario(
    *(_WAITING, _WAITING, _WAITING, ["under_review", "risk_unavailable", None, 12, 2]),
    *(["approved", "score_above_threshold", 712, 12, 3], ["approved", "score_above_threshold", 712, 12, 3]),
    *(["approved", "score_above_threshold", 712, 12, 3], ["approved", "score_above_threshold", 712, 12, 3]),
)
async def the_first_settled_state_stays(postgres: Postgres) -> Seen:
    """Claimed, claimed again, by other content, another reason, decided, and whatever comes later."""
    order = an_order()
    other = msgspec.structs.replace(order, term_months=24)
    course = [(order, WAITING), (order, WAITING), (other, APPROVED), (order, unscored("risk_unavailable"))]
    course += [(order, APPROVED), (order, REJECTED), (order, WAITING), (other, REJECTED)]
    return [await _put(postgres.store, a_proposal(which, decision)) for which, decision in course]


@POSTGRES.scenario(
    *(["under_review", "risk_refused", None, 12, 1], ["under_review", "risk_refused", None, 12, 1]),
    *(["under_review", "risk_refused", None, 12, 1], ["under_review", "risk_refused", None, 12, 2]),
    *(["under_review", "risk_refused", None, 12, 2], ["rejected", "score_below_threshold", 310, 12, 3]),
)
async def what_waits_for_a_person_gives_way_to_its_replacement_alone(postgres: Postgres) -> Seen:
    order = an_order()
    course: list[tuple[Decision, int | None]] = [(FOR_A_PERSON, None), (APPROVED, None), (APPROVED, 2)]
    course += [(FOR_A_PERSON, 1), (APPROVED, 1), (REJECTED, 2)]
    return [await _put(postgres.store, a_proposal(order, decision, version)) for decision, version in course]


@POSTGRES.scenario([["approved", 1], ["rejected", 1], ["rejected", 2]], 3, 0)
async def new_and_known_in_one_commit(postgres: Postgres) -> Seen:
    decided, waiting, new = an_order(), an_order(), an_order()
    await postgres.store.commit([a_proposal(decided, APPROVED), a_proposal(waiting)])
    answers = await postgres.store.commit([a_proposal(order, REJECTED) for order in (new, decided, waiting)])
    rows = [row for row in answers.values() if isinstance(row, Row)]
    found = await postgres.store.find([each.order_id for each in (new, decided, waiting, an_order())])
    return [sorted([row.status, row.version] for row in rows), len(found), len(await postgres.store.find([]))]


@POSTGRES.scenario(["StoreUnavailable"], ["approved", 1], ["approved", "score_above_threshold", 712, 12, 1])
async def an_answer_is_lost_and_the_rows_stand(postgres: Postgres) -> Seen:
    """Whoever repeats it has the row that was committed, not what is proposed now."""
    order = an_order()
    postgres.lose_answer()
    seen: Seen = [await _put(postgres.store, a_proposal(order, APPROVED))]
    found = (await postgres.store.find([order.order_id]))[order.order_id]
    return [*seen, told(found)[:1] + told(found)[-1:], await _put(postgres.store, a_proposal(order, REJECTED))]


@POSTGRES.scenario(["StoreUnavailable"], 0, ["rejected", "score_below_threshold", 310, 12, 1])
async def a_request_is_lost_and_no_row_stands(postgres: Postgres) -> Seen:
    order = an_order()
    postgres.lose_request()
    seen: Seen = [await _put(postgres.store, a_proposal(order, APPROVED))]
    seen.append(len(await postgres.store.find([order.order_id])))
    return [*seen, await _put(postgres.store, a_proposal(order, REJECTED))]


async def _both(postgres: Postgres, first: Proposal, second: Proposal, *, rolls_back: bool = False) -> Seen:
    """The first is another client's, which commits once the second waits for it. What is read meanwhile, too."""
    async with postgres.holding(first) as held:
        held.rolls_back = rolls_back
        waiting = asyncio.create_task(_put(postgres.store, second))
        await postgres.until_somebody_waits()
        meanwhile = await postgres.store.find([first.order.order_id])
        done = waiting.done()
    return [[told(row) for row in meanwhile.values()], done, await waiting]


@POSTGRES.scenario([], False, ["approved", "score_above_threshold", 712, 12, 1])
async def a_claim_waits_for_a_claim(postgres: Postgres) -> Seen:
    order = an_order()
    return await _both(postgres, a_proposal(order, APPROVED), a_proposal(order, REJECTED))


@POSTGRES.scenario([], False, ["rejected", "score_below_threshold", 310, 12, 1])
async def a_claim_goes_on_when_the_other_is_taken_back(postgres: Postgres) -> Seen:
    order = an_order()
    return await _both(postgres, a_proposal(order, APPROVED), a_proposal(order, REJECTED), rolls_back=True)


@POSTGRES.scenario([_WAITING], False, ["approved", "score_above_threshold", 712, 12, 2])
async def a_settling_waits_for_a_settling(postgres: Postgres) -> Seen:
    """And its answer is the other's row, although its own statement began before that was committed."""
    order = an_order()
    await postgres.store.commit([a_proposal(order)])
    return await _both(postgres, a_proposal(order, APPROVED), a_proposal(order, REJECTED))


@POSTGRES.scenario([_WAITING], False, ["approved", "score_above_threshold", 712, 12, 2])
async def an_old_waiting_waits_and_changes_nothing(postgres: Postgres) -> Seen:
    order = an_order()
    await postgres.store.commit([a_proposal(order)])
    return await _both(postgres, a_proposal(order, APPROVED), a_proposal(order, WAITING))


@POSTGRES.scenario("StoreUseless", "StoreUseless", ["approved", "score_above_threshold", 712, 12, 1])
async def a_server_that_is_read_only(postgres: Postgres) -> Seen:
    order = an_order()
    async with postgres.fault("read-only") as store:
        seen: Seen = [await _error(store.ping()), await _error(store.commit([a_proposal(order)]))]
    return [*seen, await _put(postgres.store, a_proposal(order, APPROVED))]


@POSTGRES.scenario(
    "StoreUnavailable", "StoreUnavailable", "StoreUnavailable", ["approved", "score_above_threshold", 712, 12, 1]
)
async def a_server_that_is_away(postgres: Postgres) -> Seen:
    order = an_order()
    async with postgres.fault("away") as store:
        seen: Seen = [await _error(store.ping()), await _error(store.find([order.order_id]))]
        seen.append(await _error(store.commit([a_proposal(order)])))
    return [*seen, await _put(postgres.store, a_proposal(order, APPROVED))]


async def _error(call: Any) -> str:
    try:
        await call
    except StoreUnavailable as error:  # StoreUseless is one
        return type(error).__name__
    return "none"
