"""What was decided, why it was refused, and who was asked again: each wrong one is found in books made by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from creditstream.order.policy import load_policy
from creditstream.simulation.mix import MALFORMED_KINDS, PRODUCTS, make_mix
from tests.chaos.disruptions import windows_of
from tests.chaos.evidence import Allowed, Books, Call, Logged
from tests.chaos.test_verifier import (
    DECIDED_AT,
    ONE,
    POLICIES,
    TWO,
    WAITING,
    Change,
    change_row,
    clean_books,
    of_customer_without_file,
    status,
    verdict_of,
)
from tests.chaos.verify_calls import Span, in_flight, is_excess, merged
from tests.chaos.verify_decisions import decision_of, read_policies
from tests.chaos.verify_letters import why_no_order


def decided(score: int | None = 700, **changes: Any) -> Change:
    """The second order, its status and its call, as they would be if that had been decided everywhere."""

    def change(books: Books) -> None:
        books.rows[1].update({"score": score, **changes})
        books.statuses[2:] = [status(2, books.rows[1])]
        books.calls[str(TWO)] = [] if score is None else [Call(1.0, 200, score)]

    return change


@pytest.mark.parametrize(
    "change",
    [
        decided(599, status="rejected", reason="score_below_threshold"),
        decided(600),
        decided(0, status="rejected", reason="score_below_threshold"),
    ],
    ids=["just below", "just enough", "none at all"],
)
def test_a_decision_by_the_policy_is_right(change: Change) -> None:
    assert verdict_of(change).examples == {}


UNDECIDED = {name: value for name, value in WAITING.items() if name != "score"}
FAULTS: dict[str, Change] = {
    "rejected with 700": decided(700, status="rejected", reason="score_below_threshold"),
    "approved with 599": decided(599),
    "approved without a score and a call": decided(None),
    "approved for another reason": decided(700, reason="score_below_threshold"),
    "rejected for its amount, which is small": decided(700, status="rejected", reason="amount_above_limit"),
    "by a policy that nobody has": decided(700, policy_version="2026-11-0"),
    "without a policy": decided(700, policy_version=None),
    "by another model": decided(700, model_version="m-2"),
    "under review with a score": decided(700, **UNDECIDED),
    "under review by a policy": decided(None, **{**UNDECIDED, "policy_version": next(iter(POLICIES))}),
    "refused, of a customer whom nobody refuses": decided(None, **{**UNDECIDED, "reason": "risk_refused"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_decision_is_found(name: str) -> None:
    verdict = verdict_of(FAULTS[name])
    assert verdict.misdecided, verdict.examples


def test_an_order_above_the_limit_is_rejected_whatever_its_score() -> None:
    def large(books: Books) -> None:
        for name in ("orders", "sent"):
            records = getattr(books, name)
            records[4] = records[4]._replace(value=records[4].value.replace(b'"10.00"', b'"50000.01"'))
        decided(1000, amount=Decimal("50000.01"))(books)

    assert verdict_of(large).misdecided
    assert verdict_of(large, decided(1000, status="rejected", reason="amount_above_limit")).examples == {}


def test_a_wrong_decision_that_was_published_before_a_right_one_is_found() -> None:
    def first(books: Books) -> None:
        books.statuses.insert(2, status(-1, books.rows[1], score=3, status="rejected", reason="x", version=1))

    assert verdict_of(first).misdecided


def test_a_score_that_was_never_given_is_found_also_of_an_order_that_was_dropped() -> None:
    def dropped(books: Books) -> None:
        books.purpose.dropped.add(TWO)
        del books.rows[1]
        books.statuses.append(Logged(0, 4, str(TWO).encode(), None, {}))

    assert verdict_of(dropped).examples == {}
    assert verdict_of(dropped, lambda books: books.calls.update({str(TWO): [Call(1.0, 200, 701)]})).misdecided


@pytest.mark.parametrize(
    "change", [change_row(1, model_version=None), lambda books: books.calls.update({str(TWO): [Call(1.0, 503, None)]})]
)
def test_an_order_that_waits_for_a_person_without_an_answer_that_says_so_is_found(change: Change) -> None:
    verdict = verdict_of(of_customer_without_file, change)
    assert verdict.misdecided, verdict.examples


def test_the_rules_are_those_that_the_program_reads() -> None:
    """Read by other lines: which are right about the file, product by product."""
    policy = load_policy(None)
    assert {policy.version: {name: tuple(POLICIES[policy.version][name]) for name in policy.products}} == {
        policy.version: {name: (rule.approve_from, rule.max_amount) for name, rule in policy.products.items()}
    }
    assert {product for product, *_ in PRODUCTS} <= policy.products.keys()
    assert decision_of(700, Decimal(1), None) == ("under_review", "unknown_product")


def test_a_previous_versions_policy_is_one_of_two(tmp_path: Any) -> None:
    (tmp_path / "creditstream").mkdir()
    (tmp_path / "creditstream" / "policy.toml").write_text('version = "old"\n[default]\napprove_from = 500\n')
    policies = read_policies(tmp_path)
    assert policies["old"][""].max_amount == Decimal("inf")


# -- dead letters


def reason(number: int, word: str) -> Change:
    def change(books: Books) -> None:
        books.letters[number] = books.letters[number]._replace(
            headers={**books.letters[number].headers, "x-error-class": word}
        )

    return change


@pytest.mark.parametrize(
    "changes",
    [
        (reason(0, "not_json"),),
        (reason(1, "invalid_field"),),
        (reason(1, "conflict"),),
        (of_customer_without_file, reason(3, "risk_refused")),
    ],
    ids=["of a conflict", "of a line that is no JSON", "of a line that contradicts nothing", "of one without a file"],
)
def test_a_letter_that_says_what_is_not_so_is_found(changes: tuple[Change, ...]) -> None:
    verdict = verdict_of(*changes)
    assert verdict.misjudged, verdict.examples


def test_the_reason_of_each_kind_of_spoilt_line_is_known() -> None:
    """By the verifier's own lines, which share nothing with the product's; an order has none."""
    now = datetime.now(UTC)
    found = [why_no_order(line.value) for line in make_mix(1, 0, 0, MALFORMED_KINDS, 5, now=now) if not line.order_id]
    assert len(found) == MALFORMED_KINDS
    words = ("not_json", "not_an_object", "duplicate_key", "invalid_field", "invalid_amount", "invalid_text")
    assert {words for words in found if len(words) == 1} == {(word,) for word in (*words, "invalid_time")}
    [order] = make_mix(1, 0, 0, 0, 5, now=now - timedelta(1))
    assert why_no_order(order.value) == ("an order",)


# -- I6


def asked_twice(books: Books) -> None:
    books.calls[str(TWO)] = [Call(DECIDED_AT - 10, 200, 700), Call(DECIDED_AT + 9, 200, 1)]


@pytest.mark.parametrize(
    ("disruptions", "allowed", "is_explained"),
    [
        ([], 0, False),
        ([(DECIDED_AT - 20, DECIDED_AT - 11)], 1, False),
        ([(DECIDED_AT - 9, DECIDED_AT - 9)], 2, True),
        ([(DECIDED_AT - 9, DECIDED_AT - 9), (DECIDED_AT - 8, DECIDED_AT)], 4, True),
        ([(DECIDED_AT + 2, DECIDED_AT + 8)], 0, False),
    ],
    ids=["none", "before it was asked about", "while it was in flight", "two", "after it was decided"],
)
def test_orders_in_flight_at_a_disruption_may_be_asked_about_again(
    disruptions: list[tuple[float, float]], allowed: int, is_explained: bool
) -> None:
    """The other order was in flight from the beginning: that explains nothing of this one."""
    verdict = verdict_of(asked_twice, allowed=Allowed(disruptions))
    assert (verdict.extra_calls, verdict.allowed_calls) == (1, allowed)
    assert bool(verdict.excess_calls) != is_explained


@pytest.mark.parametrize(("later", "is_retry"), [(0.3, False), (1.5, True), (12.0, False)])
def test_a_call_after_a_time_out_is_a_retry_until_the_order_is_decided(later: float, is_retry: bool) -> None:
    """In the sum over all orders too: none was in flight at a disruption."""

    def again(books: Books) -> None:
        books.calls[str(TWO)] = [Call(DECIDED_AT - 5, 200, 700), Call(DECIDED_AT - 5 + later, 200, 1)]

    allowed = Allowed(attempt_timeout=1.0)
    assert bool(verdict_of(again, allowed=allowed).excess_calls) != is_retry


@pytest.mark.parametrize(
    ("asked", "disruptions", "is_found"),
    [
        ([0.0, 0.1, 2.0, 2.1, 4.0, 4.1], 1, False),
        ([0.0, 0.1, 2.0, 2.1, 4.0, 4.1], 0, True),
        ([0.0, 0.1, 0.2, 2.0, 2.1, 2.2], 1, True),
        ([0.0, 0.1, 2.0, 2.1, 2.2], 1, True),
    ],
    ids=["each repeats its own", "nothing explains the second", "a third one", "one repeats twice at once"],
)
def test_of_two_who_ask_at_once_each_repeats_its_own(asked: list[float], disruptions: int, is_found: bool) -> None:
    allowed = Allowed(disruptions=[(0.0, 1.0)] * disruptions, attempt_timeout=1.5)
    assert is_excess(asked, Span(0.0, float("inf")), allowed) is is_found


def test_not_every_order_is_a_retry() -> None:
    """Each is one by its time; with so many there is a fault behind it."""

    def again(books: Books) -> None:
        for number in range(100):
            books.calls[str(UUID(int=number))] = [Call(DECIDED_AT - 5, 200, 1), Call(DECIDED_AT - 4, 200, 1)]

    verdict = verdict_of(again, allowed=Allowed(attempt_timeout=1.0))
    assert (verdict.extra_calls, verdict.excess_calls) == (100, 1)


def test_an_order_that_was_never_decided_is_in_flight_to_the_end() -> None:
    books = clean_books()
    books.statuses = [record for record in books.statuses if str(ONE).encode() != record.key]
    assert in_flight(books, [(DECIDED_AT + 100, DECIDED_AT + 100)]) == [1]


def test_a_rebalance_is_one_whoever_tells_of_it() -> None:
    assert merged([(5.0, 6.0), (1.0, 3.0), (2.0, 4.0), (4.0, 4.5)]) == [(1.0, 4.5), (5.0, 6.0)]


def test_a_log_tells_of_its_rebalances() -> None:
    lines = [
        "2026-11-29 12:00:01,500 INFO creditstream.worker.runtime: at work on partitions [0, 1]",
        "2026-11-29 12:00:02,000 INFO creditstream.worker.runtime: rebalancing",
        "2026-11-29 12:00:02,250 WARNING creditstream.order.finish: not published",
        "2026-11-29 12:00:03,000 INFO creditstream.worker.runtime: at work on partitions [0]",
        "2026-11-29 12:00:04,000 INFO creditstream.worker.runtime: rebalancing",  # killed
        "2026-11-29 12:00:09,000 INFO creditstream.worker.runtime: rebalancing",
        "2026-11-29 12:00:09,500 INFO creditstream.worker.runtime: at work on partitions [0]",
    ]
    midnight = datetime(2026, 11, 29, 12).timestamp()
    said = [(since - midnight, until - midnight) for since, until in windows_of("\n".join(lines))]
    assert said == [(2.0, 3.0), (4.0, 4.0), (9.0, 9.5)]
