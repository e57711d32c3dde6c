"""Each kind of fault is found in books made by hand, and a clean set is clean."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.chaos.evidence import MODEL_VERSION, Allowed, Books, Call, Logged, Sent, Verdict
from tests.chaos.verifier import verify
from tests.chaos.verify_decisions import read_policies

ONE, TWO = UUID(int=1), UUID(int=2)
POLICIES = read_policies()
CREATED = datetime(2026, 11, 23, 12, tzinfo=UTC)
#: Of both orders, by their statuses: the risk API was asked in 1970.
DECIDED_AT = CREATED.timestamp()
#: Of an order that nobody has scored yet.
WAITING = {
    "status": "under_review",
    "reason": "waiting_for_risk",
    "score": None,
    "model_version": None,
    "policy_version": None,
}
Change = Callable[[Books], object]


def order(order_id: UUID, amount: str = "10.00", **more: object) -> bytes:
    fields = {
        "order_id": str(order_id),
        "customer_id": "c-1",
        "amount": amount,
        "term_months": 12,
        "product": "personal_loan",
    }
    return json.dumps({**fields, "created_at": "2026-11-23T12:00:00Z", **more}).encode()


def row(order_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "customer_id": "c-1",
        "amount": Decimal("10.00"),
        "term_months": 12,
        "product": "personal_loan",
        "status": "approved",
        "score": 700,
        "reason": "score_above_threshold",
        "model_version": MODEL_VERSION,
        "policy_version": next(iter(POLICIES)),
        "created_at": CREATED,
        "updated_at": CREATED,
        "version": 2,
        "metadata": {},
        **changes,
    }


def status(offset: int, committed: dict[str, Any], **changes: Any) -> Logged:
    published = {name: value for name, value in committed.items() if name != "metadata"}
    published |= {"created_at": CREATED.isoformat(), "updated_at": CREATED.isoformat(), **changes}
    key = str(committed["order_id"]).encode()
    return Logged(0, offset, key, json.dumps(published, default=str).encode(), {})


def letter(offset: int, record: Logged, reason: str) -> Logged:
    origin = {"x-original-partition": str(record.partition), "x-original-offset": str(record.offset)}
    return Logged(3, offset, record.key, record.value, {**origin, "x-error-class": reason})


def clean_books() -> Books:
    """An order, its duplicate (as another producer writes it), a conflict, a line that is none, another order."""
    values = [order(ONE), order(ONE, channel="app"), order(ONE, "11.00"), b"not json", order(TWO)]
    kinds = ["order", "duplicate", "conflict", "malformed", "order"]
    orders = [Logged(0, offset, None, value, {}) for offset, value in enumerate(values)]
    sent = [Sent(kind, value, (0, offset)) for offset, (kind, value) in enumerate(zip(kinds, values, strict=True))]
    rows = [row(ONE), row(TWO)]
    waiting = WAITING | {"version": 1}
    return Books(
        sent=sent,
        orders=orders,
        letters=[letter(0, orders[2], "conflict"), letter(1, orders[3], "not_json"), letter(2, orders[3], "not_json")],
        statuses=[status(0, rows[0], **waiting), status(1, rows[0]), status(2, rows[1]), status(3, rows[1])],
        keys=[ONE, TWO],
        rows=rows,
        calls={str(ONE): [Call(1.0, 503, None), Call(2.0, 200, 700)], str(TWO): [Call(1.0, 200, 700)]},
    )


def verdict_of(*changes: Change, allowed: Allowed | None = None) -> Verdict:
    books = deepcopy(clean_books())
    for change in changes:
        change(books)
    return verify(books, allowed)


def test_clean_books_are_clean_and_counted() -> None:
    verdict = verdict_of()
    assert (verdict.clean, verdict.examples) == (True, {})
    counted = verdict.records, verdict.orders, verdict.duplicates, verdict.conflicts, verdict.malformed
    assert counted == (5, 2, 1, 1, 1)
    assert verdict.extra_calls == 0


def remove(name: str, index: int) -> Change:
    return lambda books: getattr(books, name).pop(index)


def add(name: str, make: Callable[[Books], Any]) -> Change:
    return lambda books: getattr(books, name).append(make(books))


def change_row(index: int, **changes: Any) -> Change:
    return lambda books: books.rows[index].update(changes)


FAULTS: list[tuple[str, str, tuple[Change, ...]]] = [
    ("a conflict without a letter", "lost", (remove("letters", 0),)),
    ("a line that is no order, without a letter", "lost", (remove("letters", 2), remove("letters", 1))),
    (
        "an order without a row",
        "lost",
        (remove("rows", 1), remove("keys", 1), remove("statuses", 3), remove("statuses", 2)),
    ),
    ("acknowledged by Kafka and not there", "lost", (add("sent", lambda books: Sent("order", order(TWO), (1, 0))),)),
    ("typed and not there", "lost", (add("sent", lambda books: Sent("order", order(TWO, x=1))),)),
    ("an order that is decided, with a letter", "misjudged", (add("letters", lambda b: letter(9, b.orders[4], "x")),)),
    (
        "a letter with other bytes",
        "misjudged",
        (lambda b: b.letters.__setitem__(0, b.letters[0]._replace(value=b"{}")),),
    ),
    (
        "a letter with another key",
        "misjudged",
        (lambda b: b.letters.__setitem__(0, b.letters[0]._replace(key=b"k")),),
    ),
    (
        "a letter from nowhere",
        "misjudged",
        (add("letters", lambda b: letter(9, Logged(0, 99, None, b"x", {}), "not_json")),),
    ),
    ("two rows of one id", "duplicated", (add("rows", lambda b: row(TWO)),)),
    ("a row without its key", "divergent", (remove("keys", 1),)),
    ("a key without its row", "divergent", (add("keys", lambda b: UUID(int=9)),)),
    (
        "two decisions published",
        "duplicated",
        (lambda b: b.statuses.insert(2, status(9, b.rows[0], status="rejected", version=3)._replace(offset=0)),),
    ),
    ("a row that was never published", "divergent", (remove("statuses", 3), remove("statuses", 2))),
    ("a row that differs from its last status", "divergent", (change_row(1, reason="other"),)),
    ("a row that holds what nobody sent", "divergent", (change_row(1, amount=Decimal("12.00")),)),
    ("a score that was never given", "divergent", (lambda b: b.calls.update({str(TWO): [Call(1.0, 200, 3)]}),)),
    ("scored and never asked", "divergent", (lambda b: b.calls.pop(str(TWO)),)),
    (
        "an older version after a newer one",
        "version_back",
        (add("statuses", lambda b: status(4, b.rows[0], status="under_review", score=None, version=1)),),
    ),
    (
        "two contents of one version",
        "divergent",
        (lambda b: b.statuses.insert(0, status(-1, b.rows[1], status="under_review")),),
    ),
    ("a status on another partition", "divergent", (add("statuses", lambda b: b.statuses[3]._replace(partition=1)),)),
    ("a status without a row", "orphans", (add("statuses", lambda b: status(5, row(UUID(int=7)))),)),
    ("no status record at all", "divergent", (add("statuses", lambda b: Logged(0, 6, b"x", b"{", {})),)),
    (
        "nobody decided",
        "undecided",
        (
            change_row(1, status="under_review", score=None, version=1),
            lambda b: b.statuses.__setitem__(slice(2, 4), [status(2, b.rows[1])]),
        ),
    ),
    ("asked again after a score", "excess_calls", (lambda b: b.calls[str(TWO)].append(Call(9.0, 200, 1)),)),
]


@pytest.mark.parametrize(("fault", "changes"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_a_fault_is_found(fault: str, changes: tuple[Change, ...]) -> None:
    verdict = verdict_of(*changes)
    assert getattr(verdict, fault), verdict.examples
    assert not verdict.clean


def test_a_record_that_nobody_sent_is_a_fault_of_the_run() -> None:
    verdict = verdict_of(add("orders", lambda books: Logged(1, 0, None, order(TWO, x=1), {})))
    assert verdict.lost == 1


def test_calls_after_a_crash_or_a_lost_answer_are_allowed_and_counted() -> None:
    def twice(books: Books) -> None:
        books.calls[str(TWO)].append(Call(9.0, 200, 1))

    crashed = verdict_of(twice, allowed=Allowed(disruptions=[(DECIDED_AT, DECIDED_AT)]))
    assert (crashed.clean, crashed.extra_calls, crashed.allowed_calls) == (True, 1, 2)
    lost_on_its_way = verdict_of(twice, allowed=Allowed(lost_answers=[(0.5, 1.5)]))
    assert (lost_on_its_way.clean, lost_on_its_way.extra_calls) == (True, 0)


def test_the_examples_are_bounded() -> None:
    books = clean_books()
    books.orders = [Logged(5, offset, None, b"?", {}) for offset in range(100)]
    verdict = verify(books)
    assert verdict.lost > 100
    assert len(verdict.examples["lost"]) == 20


def of_customer_without_file(books: Books) -> None:
    """The second order's bureau knows nothing of its customer: it waits for a person, and has its letter."""
    value = order(TWO, customer_id="nofile-1")
    books.sent[4] = Sent("order", value, (0, 4))
    books.orders[4] = books.orders[4]._replace(value=value)
    waits = {**WAITING, "reason": "no_usable_answer", "model_version": MODEL_VERSION, "version": 1}
    books.rows[1].update(waits, customer_id="nofile-1")
    books.statuses[2:] = [status(2, books.rows[1])]
    books.letters.append(letter(9, books.orders[4], "no_usable_answer"))
    books.calls[str(TWO)] = [Call(1.0, 200, None)]


def test_an_order_that_nobody_can_score_waits_for_a_person() -> None:
    assert verdict_of(of_customer_without_file).examples == {}


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("lost", (remove("letters", -1),)),
        ("undecided", (change_row(0, status="under_review", reason="no_usable_answer", score=None),)),
        ("misjudged", (change_row(1, reason="risk_unavailable"),)),
        ("misjudged", (change_row(1, status="approved", reason="score_above_threshold", score=700),)),
    ],
    ids=["without a letter", "of a customer with a file", "for another reason", "and is decided"],
)
def test_an_order_that_waits_for_a_person_as_it_should_not(fault: str, changes: tuple[Change, ...]) -> None:
    assert getattr(verdict_of(of_customer_without_file, *changes), fault)
