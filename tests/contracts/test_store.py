"""One suite for what `ports.Store` promises, against the fake and the real PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import Proposal, Refused, Store
from creditstream.store.orders import PostgresStore
from devtools.fakes import FakeStore, a_proposal, an_order
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE, WAITING, Decision, unscored
from schemas.status import Row

APPROVED = Decision(
    status="approved",
    reason="score_above_threshold",
    reasons=("good_history", "pouca dívida"),
    score=712,
    model_version="risk-1",
    policy_version="2026-1",
)
REJECTED = Decision(status="rejected", reason="score_below_threshold", score=310)

Scenario = Callable[[Store], Awaitable[None]]


#: By store: removes the row of an order, whose id stays known.
Removes = Callable[[Store, UUID], None]


@pytest.fixture(params=["fake", "postgres"])
def removes(request: pytest.FixtureRequest) -> Removes:
    if request.param == "fake":
        return lambda store, order_id: store.remove([order_id]) if isinstance(store, FakeStore) else None
    database = request.getfixturevalue("database")
    return lambda _store, order_id: database.fetch(f"DELETE FROM orders WHERE order_id = '{order_id}'")


@pytest.fixture
def check(removes: Removes, request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario with a store that is empty."""
    is_real = request.node.callspec.params["removes"] == "postgres"
    dsn = request.getfixturevalue("database").dsn if is_real else ""

    async def run(scenario: Scenario) -> None:
        async with _opened(dsn) as store:
            await scenario(store)

    return lambda scenario: asyncio.run(run(scenario))


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[Store]:
    if not dsn:
        yield FakeStore()
        return
    store = await PostgresStore.open(Settings(postgres_dsn=Secret(dsn)))
    try:
        yield store
    finally:
        await store.close()


async def _commit_one(store: Store, proposal: Proposal) -> Row:
    order_id = proposal.order.order_id
    answers = await store.commit([proposal])
    assert list(answers) == [order_id]
    row = answers[order_id]
    assert isinstance(row, Row)
    assert (await store.find([order_id])) == {order_id: row}
    return row


def _bad(store: Store) -> Proposal:
    """A proposal that the store never takes."""
    proposal = a_proposal(an_order(metadata={"text": "a\0b"}))
    if isinstance(store, FakeStore):
        store.refuse([proposal.order.order_id])
    return proposal


@pytest.mark.parametrize("decision", [WAITING, APPROVED, REJECTED])
def test_a_new_order_becomes_a_row_of_version_1(check: Any, decision: Decision) -> None:
    async def scenario(store: Store) -> None:
        order = an_order(metadata={"canal": "aplicação", "n": [1, None, True, 1.5, {"": ""}]})
        row = await _commit_one(store, a_proposal(order, decision))
        given = msgspec.structs.asdict(order) | msgspec.structs.asdict(decision)
        given |= {"fingerprint": order.fingerprint(), "version": 1, "updated_at": row.updated_at}
        del given["metadata"]
        assert msgspec.structs.asdict(row) == given
        assert row.updated_at.utcoffset() is not None

    check(scenario)


def test_a_decision_replaces_under_review(check: Any) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order))
        second = await _commit_one(store, a_proposal(order, APPROVED))
        assert (second.status, second.score, second.reason) == ("approved", 712, "score_above_threshold")
        assert (second.reasons, second.model_version) == (APPROVED.reasons, "risk-1")
        assert second.version == 2
        assert second.updated_at >= first.updated_at

    check(scenario)


def test_another_reason_replaces_under_review(check: Any) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        await _commit_one(store, a_proposal(order))
        row = await _commit_one(store, a_proposal(order, unscored("risk_refused")))
        assert (row.status, row.reason, row.version) == ("under_review", "risk_refused", 2)

    check(scenario)


#: States in which a row stands, and how another worker, which knows nothing of that, would have it.
FOR_PEOPLE = [unscored(reason) for reason in sorted(FOR_A_PERSON)]
LATER = [APPROVED, REJECTED, WAITING, unscored(RISK_UNAVAILABLE), *FOR_PEOPLE]


@pytest.mark.parametrize("stands", FOR_PEOPLE, ids=lambda decision: decision.reason)
def test_what_waits_for_a_person_is_settled(check: Any, stands: Decision) -> None:
    """The first write wins, against approvals too; also when it became so from a state that was open."""

    async def scenario(store: Store) -> None:
        for before in ([], [WAITING, unscored(RISK_UNAVAILABLE)]):
            order = an_order()
            for decision in (*before, stands):
                first = await _commit_one(store, a_proposal(order, decision))
            assert (first.status, first.reason, first.version) == ("under_review", stands.reason, len(before) + 1)
            assert first.is_settled and first.waits_for_person
            for later in LATER:
                assert await _commit_one(store, a_proposal(order, later)) == first
            for version in (0, first.version - 1, first.version + 1):
                assert await _commit_one(store, a_proposal(order, APPROVED, version)) == first

    check(scenario)


@pytest.mark.parametrize("stands", [APPROVED, unscored(RISK_UNAVAILABLE), *FOR_PEOPLE], ids=lambda state: state.reason)
def test_waiting_only_ever_inserts(check: Any, stands: Decision) -> None:
    """A zombie's comes late: whatever the row is, its status may be published already, and nobody publishes another."""

    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order, stands))
        for version in (None, 0, first.version, first.version + 1):
            assert await _commit_one(store, a_proposal(order, WAITING, version)) == first

    check(scenario)


@pytest.mark.parametrize("later", [state for state in LATER if state != WAITING], ids=lambda decision: decision.reason)
def test_a_deliberate_repeat_changes_it_once(check: Any, later: Decision) -> None:
    """Also into the same state again: the version says that it was tried."""

    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order, unscored("no_usable_answer")))
        second = await _commit_one(store, a_proposal(order, later, first.version))
        assert (second.status, second.reason, second.version) == (later.status, later.reason, 2)
        assert await _commit_one(store, a_proposal(order, later, first.version)) == second
        if second.is_settled:
            assert await _commit_one(store, a_proposal(order, REJECTED, first.version)) == second

    check(scenario)


def test_a_decided_row_is_replaced_by_nobody(check: Any) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order, APPROVED))
        for later in LATER:
            assert await _commit_one(store, a_proposal(order, later, first.version)) == first
        other = msgspec.structs.replace(an_order(), order_id=order.order_id, term_months=24)
        assert await _commit_one(store, a_proposal(other, REJECTED, first.version)) == first

    check(scenario)


def test_a_repeat_of_a_new_order_is_a_new_order(check: Any) -> None:
    async def scenario(store: Store) -> None:
        row = await _commit_one(store, a_proposal(None, APPROVED, 7))
        assert (row.status, row.version) == ("approved", 1)

    check(scenario)


def test_many_states_in_one_commit(check: Any) -> None:
    async def scenario(store: Store) -> None:
        stands = [WAITING, APPROVED, *FOR_PEOPLE]
        orders = [an_order() for _ in stands]
        await store.commit([a_proposal(order, state) for order, state in zip(orders, stands, strict=True)])
        again = [(None, REJECTED), (1, REJECTED), (None, APPROVED), (1, APPROVED), (2, APPROVED), (1, FOR_PEOPLE[3])]
        answers = await store.commit(
            [a_proposal(order, later, told) for order, (told, later) in zip(orders, again, strict=True)]
        )
        found = [answers[order.order_id] for order in orders]
        assert [(row.status, row.version) for row in found if isinstance(row, Row)] == [
            ("rejected", 2),
            ("approved", 1),
            ("under_review", 1),
            ("approved", 2),
            ("under_review", 1),
            ("under_review", 2),
        ]

    check(scenario)


def test_the_same_state_again_changes_nothing(check: Any) -> None:
    async def scenario(store: Store) -> None:
        for decision in (WAITING, APPROVED):
            proposal = a_proposal(decision=decision)
            assert await _commit_one(store, proposal) == await _commit_one(store, proposal)

    check(scenario)


@pytest.mark.parametrize("later", [REJECTED, WAITING, unscored("risk_refused")])
def test_a_decided_row_never_changes(check: Any, later: Decision) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order, APPROVED))
        assert await _commit_one(store, a_proposal(order, later)) == first

    check(scenario)


@pytest.mark.parametrize("stands", [WAITING, APPROVED])
def test_other_content_never_changes_a_row(check: Any, stands: Decision) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order, stands))
        other = msgspec.structs.replace(order, term_months=24)
        assert await _commit_one(store, a_proposal(other, REJECTED)) == first

    check(scenario)


def test_other_content_of_another_month_never_makes_a_second_row(check: Any) -> None:
    async def scenario(store: Store) -> None:
        order = an_order()
        first = await _commit_one(store, a_proposal(order))
        other = msgspec.structs.replace(order, created_at=order.created_at.replace(month=10))
        assert await _commit_one(store, a_proposal(other, APPROVED)) == first

    check(scenario)


def test_new_and_known_orders_in_one_commit(check: Any) -> None:
    async def scenario(store: Store) -> None:
        decided, waiting, new = an_order(), an_order(), an_order()
        await store.commit([a_proposal(decided, APPROVED), a_proposal(waiting)])
        answers = await store.commit([a_proposal(order, REJECTED) for order in (new, decided, waiting)])
        found = {order_id: (row.status, row.version) for order_id, row in answers.items() if isinstance(row, Row)}
        assert found == {
            new.order_id: ("rejected", 1),
            decided.order_id: ("approved", 1),
            waiting.order_id: ("rejected", 2),
        }

    check(scenario)


def test_more_orders_than_fit_in_one_statement(check: Any) -> None:
    async def scenario(store: Store) -> None:
        proposals = [a_proposal() for _ in range(1_203)]
        random.Random(1).shuffle(proposals)
        answers = await store.commit(proposals)
        assert {proposal.order.order_id for proposal in proposals} == set(answers)
        assert await store.find(list(answers)) == answers

    check(scenario)


def test_a_refused_row_does_not_stop_the_others(check: Any) -> None:
    async def scenario(store: Store) -> None:
        bad, good = [_bad(store) for _ in range(3)], [a_proposal() for _ in range(20)]
        answers = await store.commit([bad[0], *good[:10], bad[1], *good[10:], bad[2]])
        assert {type(answers[proposal.order.order_id]) for proposal in good} == {Row}
        for proposal in bad:
            refused = answers[proposal.order.order_id]
            assert isinstance(refused, Refused) and refused.reason == "invalid_data"
            assert "a\0b" not in refused.message
        assert not await store.find([proposal.order.order_id for proposal in bad])

    check(scenario)


def test_a_row_that_was_removed_is_known_and_stays_away(check: Any, removes: Removes) -> None:
    """Whatever is proposed of it. Beside it others are found and committed."""

    async def scenario(store: Store) -> None:
        gone, there, new = an_order(), an_order(), an_order()
        await store.commit([a_proposal(gone, APPROVED), a_proposal(there, APPROVED)])
        removes(store, gone.order_id)
        other = msgspec.structs.replace(gone, term_months=24)
        for proposal in (a_proposal(gone), a_proposal(gone, REJECTED, 1), a_proposal(other, APPROVED)):
            answer = (await store.commit([proposal]))[gone.order_id]
            assert isinstance(answer, Refused) and answer.reason == "row_removed"
        found = await store.find([gone.order_id, there.order_id, new.order_id])
        assert found.keys() == {gone.order_id, there.order_id}
        assert isinstance(found[there.order_id], Row) and found[gone.order_id] == answer
        answers = await store.commit([a_proposal(each, REJECTED) for each in (gone, there, new)])
        assert answers[gone.order_id] == answer
        assert [getattr(answers[each.order_id], "status", "") for each in (there, new)] == ["approved", "rejected"]

    check(scenario)


def test_nothing_asked_nothing_answered(check: Any) -> None:
    async def scenario(store: Store) -> None:
        assert await store.commit([]) == {}
        assert await store.find([]) == {}
        assert await store.find([an_order().order_id]) == {}

    check(scenario)
