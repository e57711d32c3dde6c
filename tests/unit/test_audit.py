"""The ledger finds every kind of fault, and only those."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditstream.operations.audit.buckets import judge_bucket
from creditstream.operations.audit.entries import BUCKETS
from creditstream.operations.audit.judge import Evidence, judge
from creditstream.operations.audit.ledger import Books, Ledger
from creditstream.operations.audit.report import Report, render, report
from creditstream.operations.audit.scratch import Shelf
from creditstream.operations.audit.small_books import judge_invalid, never_read
from schemas.decision import FOR_A_PERSON
from schemas.status import Row, encode_status

ONE, TWO = UUID(int=1), UUID(int=2)
THIS, OTHER = b"a" * 16, b"b" * 16
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW = int(NOON.timestamp() * 1000)


def row(order_id: UUID = ONE, **changes: Any) -> Row:
    return msgspec.structs.replace(
        Row(
            order_id=order_id,
            customer_id="c-1",
            amount=Decimal("1500.00"),
            term_months=12,
            product="personal_loan",
            status="approved",
            score=712,
            reason="score_above_threshold",
            model_version="m",
            policy_version="p",
            created_at=NOON,
            updated_at=NOON + timedelta(seconds=1),
            version=1,
            fingerprint=THIS,
        ),
        **changes,
    )


def publish(ledger: Ledger, *rows: Row, partition: int = 0) -> None:
    for offset, one in enumerate(rows):
        ledger.add_status(partition, offset, str(one.order_id).encode(), encode_status(one))


def settle(ledger: Ledger, *rows: Row) -> None:
    """Committed and published, as it should be."""
    for one in rows:
        ledger.add_row(one)
    publish(ledger, *rows)


def audited(fill: Callable[[Ledger], None], **evidence: Any) -> Report:
    """By one look at the books, when all that was sent is passed."""
    with TemporaryDirectory() as folder:
        with Ledger(Path(folder)) as ledger:
            fill(ledger)
        return looked_at(Path(folder), ledger.books, **evidence)


def looked_at(folder: Path, books: Books, **evidence: Any) -> Report:
    letters, shelf = books.counted_letters(), Shelf(folder)
    given = {"letters": books.letters, "forwarded": books.forwarded, "passed": None, "now_ms": NOW}
    known = Evidence(**{**given, **evidence})
    found = judge_invalid(books, known)
    found.faults += never_read({}, {}, books.jumps)
    for bucket in range(BUCKETS):
        found.take(judge_bucket(shelf.entries(bucket), known))
    found.faults += [fault for case in found.cases for fault in judge(case, known).faults]
    return report(found, letters)


def faults(report: Report) -> tuple[int, int, int]:
    assert report.clean == (report.lost + report.duplicated + report.divergent == 0)
    assert set(report.examples) == {name for name in ("lost", "duplicated", "divergent") if getattr(report, name)}
    return report.lost, report.duplicated, report.divergent


def test_nothing_is_clean() -> None:
    report = audited(lambda ledger: None)
    assert faults(report) == (0, 0, 0)
    assert report.records == 0


def test_a_clean_set_is_clean_and_counted() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_order(3, 7, ONE, THIS)
        ledger.add_order(0, 1, ONE, OTHER)
        ledger.add_letter(None, 0, 1, "conflict")
        ledger.add_invalid(0, 2, "not_json")
        ledger.add_letter(None, 0, 2, "not_json")
        ledger.add_order(1, 0, TWO, THIS)
        ledger.add_letter(None, 1, 0, "risk_refused")
        settle(ledger, row(), row(TWO, status="under_review", reason="risk_refused", score=None))

    report = audited(fill)
    assert faults(report) == (0, 0, 0)
    assert (report.records, report.orders, report.duplicates, report.conflicts) == (5, 2, 1, 1)
    assert (report.approved, report.rejected, report.under_review) == (1, 0, 1)
    assert report.dead_letters == {"conflict": 1, "not_json": 1, "risk_refused": 1}


@pytest.mark.parametrize("reason", FOR_A_PERSON)
def test_a_row_that_waits_for_a_person_has_a_letter_and_a_letter_has_its_row(reason: str) -> None:
    waits = row(status="under_review", reason=reason, score=None)

    def alone(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        settle(ledger, waits)

    def lettered(ledger: Ledger) -> None:
        alone(ledger)
        ledger.add_letter(None, 0, 0, reason)

    def by_a_repeat(ledger: Ledger) -> None:
        """The letter is of the record that was first in the worker that wrote it."""
        alone(ledger)
        ledger.add_order(1, 7, ONE, THIS)
        ledger.add_letter(None, 1, 7, "risk_unavailable")

    def rowless(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_letter(None, 0, 0, reason)

    def decided_since(ledger: Ledger) -> None:
        rowless(ledger)
        settle(ledger, row(version=2))

    assert faults(audited(lettered)) == faults(audited(by_a_repeat)) == faults(audited(decided_since)) == (0, 0, 0)
    report = audited(alone)
    assert faults(report) == (1, 0, 0)
    assert f"waits for a person ({reason}) and no dead letter that says so" in report.examples["lost"][0]
    assert faults(audited(rowless))[0] == 1


def test_a_row_that_is_still_tried_needs_no_letter() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_waiting(ONE, 7, NOW + 60_000)
        settle(ledger, row(status="under_review", reason="risk_unavailable", score=None))

    assert faults(audited(fill)) == (0, 0, 0)


def test_a_letter_delivered_twice_counts_once() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_invalid(0, 2, "not_json")
        for _ in range(2):
            ledger.add_letter(None, 0, 2, "not_json")
            ledger.add_letter("elsewhere", 0, 2, "not_json")

    report = audited(fill)
    assert report.dead_letters == {"not_json": 2}
    assert report.clean


def test_a_letter_of_another_topic_is_no_outcome_of_ours() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_invalid(0, 2, "not_json")
        ledger.add_letter("elsewhere", 0, 2, "not_json")

    assert faults(audited(fill)) == (1, 0, 0)


def test_rows_without_records_are_fine() -> None:
    """Retention cleaned the orders topic."""
    assert audited(lambda ledger: settle(ledger, row())).clean


def test_an_order_that_postgresql_refused_has_its_letter() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_letter(None, 0, 0, "constraint_violation")

    assert audited(fill).clean


def test_an_order_whose_first_record_was_refused_and_a_later_one_taken_is_fine() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_letter(None, 0, 0, "constraint_violation")
        ledger.add_order(0, 9, ONE, THIS)
        settle(ledger, row())

    assert audited(fill).clean


def order_without_row(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)


def invalid_without_letter(ledger: Ledger) -> None:
    ledger.add_invalid(0, 0, "not_json")


def conflict_without_letter(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_order(0, 1, ONE, OTHER)
    settle(ledger, row())


def conflict_without_row(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_letter(None, 0, 0, "conflict")


def letter_of_an_unscored_row_without_row(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_letter(None, 0, 0, "risk_unavailable")


def refused_without_letter(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_order(0, 1, ONE, OTHER)
    ledger.add_letter(None, 0, 1, "conflict")
    settle(ledger, row(status="under_review", reason="risk_refused"))


def a_letter_of_something_else(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_letter(None, 0, 0, "invalid_data")
    settle(ledger, row(status="under_review", reason="unknown_product", score=None))


def two_rows(ledger: Ledger) -> None:
    settle(ledger, row())
    ledger.add_row(row(created_at=NOON + timedelta(days=40)))


def two_decisions(ledger: Ledger) -> None:
    settled = row(version=2, status="rejected")
    publish(ledger, row(), settled)
    ledger.add_row(settled)


def under_review_after_the_decision(ledger: Ledger) -> None:
    """The zombie's late record: the last one that compaction keeps."""
    publish(ledger, row(version=2), row(status="under_review"))
    ledger.add_row(row(version=2))


def row_without_status(ledger: Ledger) -> None:
    ledger.add_row(row())


def status_without_row(ledger: Ledger) -> None:
    publish(ledger, row())


def version_that_went_back(ledger: Ledger) -> None:
    first, second = (row(version=v, status="under_review", reason=f"r{v}") for v in (1, 2))
    ledger.add_waiting(ONE, 0, NOW + 60_000)
    publish(ledger, second, first, second)
    ledger.add_row(second)


def same_version_other_content(ledger: Ledger) -> None:
    first, second = (row(status="under_review", reason=reason) for reason in ("a", "b"))
    ledger.add_waiting(ONE, 0, NOW + 60_000)
    publish(ledger, first, second)
    ledger.add_row(second)


def two_partitions(ledger: Ledger) -> None:
    settle(ledger, row())
    publish(ledger, row(), partition=1)


def garbage(ledger: Ledger) -> None:
    ledger.add_status(0, 0, str(ONE).encode(), b"{")


def tombstone(ledger: Ledger) -> None:
    settle(ledger, row())
    ledger.add_status(0, 1, str(ONE).encode(), None)


def another_key(ledger: Ledger) -> None:
    settle(ledger, row())
    ledger.add_status(0, 1, str(TWO).encode(), encode_status(row()))


def conflict_letter_for_the_row_itself(ledger: Ledger) -> None:
    ledger.add_order(0, 0, ONE, THIS)
    ledger.add_letter(None, 0, 0, "conflict")
    settle(ledger, row())


@pytest.mark.parametrize(
    ("fill", "found"),
    [
        (order_without_row, (1, 0, 0)),
        (invalid_without_letter, (1, 0, 0)),
        (conflict_without_letter, (1, 0, 0)),
        (conflict_without_row, (1, 0, 0)),
        (letter_of_an_unscored_row_without_row, (1, 0, 0)),
        (refused_without_letter, (1, 0, 0)),
        (a_letter_of_something_else, (1, 0, 0)),
        (two_rows, (0, 1, 0)),
        (two_decisions, (0, 1, 0)),
        (under_review_after_the_decision, (0, 1, 1)),
        (row_without_status, (0, 0, 1)),
        (status_without_row, (0, 0, 1)),
        (version_that_went_back, (0, 0, 1)),
        (same_version_other_content, (0, 0, 1)),
        (two_partitions, (0, 0, 1)),
        (garbage, (0, 0, 1)),
        (tombstone, (0, 0, 1)),
        (another_key, (0, 0, 1)),
        (conflict_letter_for_the_row_itself, (0, 0, 1)),
    ],
)
def test_each_fault_is_found(fill: Callable[[Ledger], None], found: tuple[int, int, int]) -> None:
    assert faults(audited(fill)) == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customer_id", "c-2"),
        ("amount", Decimal("1500.01")),
        ("term_months", 13),
        ("product", "car_loan"),
        ("status", "rejected"),
        ("score", 711),
        ("reason", "other"),
        ("model_version", None),
        ("policy_version", "q"),
        ("created_at", NOON + timedelta(microseconds=1)),
        ("updated_at", NOON),
        ("version", 2),
    ],
)
def test_a_difference_in_any_published_field_is_divergent(field: str, value: Any) -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_row(row(**{field: value}))
        publish(ledger, row())

    assert faults(audited(fill)) == (0, 0, 1)


def test_a_republished_status_is_no_fault() -> None:
    waiting = row(status="under_review", reason="waiting_for_risk")

    def fill(ledger: Ledger) -> None:
        ledger.add_row(row(version=2))
        publish(ledger, waiting, waiting, row(version=2), row(version=2))

    assert audited(fill).clean


def test_a_compacted_status_topic_is_no_fault() -> None:
    assert audited(lambda ledger: settle(ledger, row(version=5))).clean


def test_examples_stop_at_twenty_and_name_places_and_ids_only() -> None:
    def fill(ledger: Ledger) -> None:
        for offset in range(50):
            ledger.add_order(2, offset, UUID(int=offset), THIS)
        ledger.add_row(row())

    report = audited(fill)
    assert report.lost == 49
    assert len(report.examples["lost"]) == 20
    assert report.examples["lost"][0] == "orders[2]@0: no row and no dead letter"
    assert report.examples["divergent"] == [f"{ONE}: row without status record"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.sampled_from([THIS, OTHER])), max_size=12))
def test_every_record_is_counted_as_exactly_one_thing(records: list[tuple[UUID, bytes]]) -> None:
    """I1, for a pipeline in which the first record of an id wins."""

    def fill(ledger: Ledger) -> None:
        rows: dict[UUID, Row] = {}
        for offset, (order_id, fingerprint) in enumerate(records):
            ledger.add_order(0, offset, order_id, fingerprint)
            kept = rows.setdefault(order_id, row(order_id, fingerprint=fingerprint))
            if kept.fingerprint != fingerprint:
                ledger.add_letter(None, 0, offset, "conflict")
        settle(ledger, *rows.values())

    report = audited(fill)
    assert report.clean
    assert report.records == report.orders + report.duplicates + report.conflicts
    assert report.dead_letters.get("conflict", 0) == report.conflicts


def test_renders_for_people_and_for_programs() -> None:
    report = audited(order_without_row)
    assert msgspec.json.decode(render(report, as_json=True), type=Report) == report
    assert "orders[0]@0: no row and no dead letter" in render(report, as_json=False)
    assert render(report, as_json=False).endswith("NOT clean")
