"""PURE parts of `restore` and of what workers miss: which of two states stays, and what was published last."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec.structs import replace

from creditstream.kafka.published import published_marks
from creditstream.operations.restore.command import told
from creditstream.operations.restore.judge import fingerprint_of, judged, row_of, settled
from creditstream.operations.restore.restoring import Done
from creditstream.operations.restore.topic import pages
from creditstream.order.ports import Mark
from creditstream.store.marks import Marks
from devtools.fakes import an_order
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, Row, encode_status, published

_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_ORDER = an_order()


def row(version: int = 1, score: int | None = 712, *, seconds: float = 0.0, **fields: Any) -> Row:
    """Approved, or under review without a score."""
    order = msgspec.structs.asdict(_ORDER)
    del order["metadata"]
    state: dict[str, Any] = {
        "status": "approved" if score else "under_review",
        "reason": "score_above_threshold" if score else "risk_unavailable",
        "reasons": ("good",),
        "score": score,
        "model_version": None,
        "policy_version": None,
        "updated_at": _NOW + timedelta(seconds=seconds),
        "version": version,
        "fingerprint": _ORDER.fingerprint(),
    }
    return Row(**(order | state | fields))


def _erased(version: int, score: int = 712, **fields: Any) -> Row:
    return row(version, score, customer_id=FORGOTTEN_CUSTOMER, **fields)


_WAITING = row(1, None)


@pytest.mark.parametrize(
    ("said", "held", "verdict"),
    [
        (row(), None, "write"),
        (row(), row(), "keep"),
        (row(2), _WAITING, "write"),
        (_WAITING, row(2), "keep"),
        (row(), row(2, customer_id=FORGOTTEN_CUSTOMER), "keep"),
        (row(2, customer_id=FORGOTTEN_CUSTOMER), row(), "write"),
        (row(), row(score=713), "look"),
        (row(), row(3, score=713), "look"),
        (row(2), row(1, score=713), "look"),
        (row(), row(seconds=1), "look"),
        (row(), row(2, None), "look"),
        (row(2, None), row(), "write"),
    ],
)
def test_what_was_published_against_the_row(said: Row, held: Row | None, verdict: str) -> None:
    assert judged(published(said), held) == verdict


@pytest.mark.parametrize(
    ("history", "held", "stays", "publish"),
    [
        ([row()], row(score=713), row(), False),
        ([row()], row(3, score=713), row(), False),
        ([row(), row(score=713)], row(score=713), row(2), True),
        ([row(), row(score=713), row(2)], row(2), None, False),
        ([row(), row(score=713)], row(2), None, True),
        ([row(1, None), row(1, None, seconds=1)], row(1, None, seconds=1), row(2, None), True),
        ([row(), row(2, customer_id=FORGOTTEN_CUSTOMER)], row(2), row(2, customer_id=FORGOTTEN_CUSTOMER), False),
        ([row(1, None)], row(2), None, False),
        ([row(), row(2, 713), _erased(3, 713)], _erased(3, 713), _erased(4), True),
        ([row(), row(2, 713)], _erased(3, 713), _erased(4), True),
        ([row(), _erased(2, 713, amount=Decimal("9.00"))], _erased(2, 713, amount=Decimal("9.00")), row(3), True),
    ],
)
def test_what_was_decided_and_published_first_stays(
    history: Sequence[Row], held: Row, stays: Row | None, publish: bool
) -> None:
    done = settled([published(each) for each in history], held, _NOW)
    assert done == (stays and published(stays), publish)


def test_what_is_not_published_is_known_from_the_content_and_the_row() -> None:
    said = published(row(2))
    assert fingerprint_of(said) == _ORDER.fingerprint()
    assert row_of(said, row()).reasons == ("good",), "the row says the same"
    assert row_of(said, row(score=1)).reasons == row_of(said, None).reasons == ()
    erased = replace(said, customer_id=FORGOTTEN_CUSTOMER)
    assert row_of(erased, None).fingerprint == FORGOTTEN


def record(order_id: UUID, value: bytes | None, at: datetime = _NOW) -> Any:
    return SimpleNamespace(key=str(order_id).encode(), value=value, timestamp=at.timestamp() * 1000)


def test_an_orders_second_record_is_on_the_second_page() -> None:
    other, removed = uuid4(), uuid4()
    first, second = row(1, None), row(2)
    records = [record(_ORDER.order_id, encode_status(each)) for each in (first, second)]
    records += [
        record(removed, None),
        record(other, b"none of ours"),
        SimpleNamespace(key=None, value=None, timestamp=0),
    ]
    assert pages(records) == [
        {_ORDER.order_id: published(first), removed: _NOW},
        {_ORDER.order_id: published(second)},
    ]


@pytest.mark.parametrize(
    "strange",
    [
        {"version": 2**31},
        {"version": 0},
        {"term_months": 2**31},
        {"score": 1001},
        {"score": None},
        {"amount": "NaN"},
        {"amount": "1e12"},
        {"amount": "-1.00"},
        {"amount": "1.005"},
        {"customer_id": "a\0b"},
        {"model_version": "\0"},
        {"created_at": "2026-11-23T12:00:00"},
        {"updated_at": "2026-11-23T12:00:00"},
        {"created_at": "2026-11-01T00:00:00+14:00"},
        {"created_at": "1999-12-31T00:00:00Z"},
        {"updated_at": "9999-12-31T23:59:59Z"},
    ],
)
def test_what_no_row_can_hold_no_worker_has_published(strange: dict[str, Any]) -> None:
    value = msgspec.json.encode(msgspec.to_builtins(published(row())) | strange)
    assert pages([record(_ORDER.order_id, value)]) == []
    assert published_marks([record(_ORDER.order_id, value)]) == []


def test_a_status_under_another_key_or_without_a_value_is_none_of_ours() -> None:
    assert pages([record(uuid4(), encode_status(row())), record(_ORDER.order_id, b"")]) == []
    assert pages([record(_ORDER.order_id, encode_status(row(amount=Decimal("999999999999.99"))))])


def test_the_newest_of_what_was_published_is_asked_for() -> None:
    many = [row(order_id=uuid4(), seconds=number) for number in range(30)]
    removed = uuid4()
    records = [record(each.order_id, encode_status(each)) for each in many]
    records += [record(removed, None), record(many[29].order_id, None), record(uuid4(), b"{}")]
    marks = published_marks(records)
    written = [mark.order_id for mark in marks if mark.removed_at is None]
    assert written == [each.order_id for each in reversed(many[9:29])], "of an order its last record counts"
    assert {mark.order_id for mark in marks if mark.removed_at} == {removed, many[29].order_id}


def test_of_each_statement_the_last_commit_is_kept() -> None:
    marks = Marks()
    older, newer = row(order_id=uuid4()), row(order_id=uuid4(), seconds=5)
    marks.answered("find_committed", [older, newer])
    marks.answered("find_committed", [older])
    marks.answered("claim_orders", [newer])
    marks.answered("claim_orders", [older])
    asked = [each["order_id"] for each in msgspec.json.decode(str(marks.parameters()["marks"]))]
    assert asked == [str(newer.order_id), str(older.order_id)]
    marks.expect([Mark(UUID(int=1))])
    given = marks.parameters()
    marks.passed(given)
    assert "00000000" not in str(marks.parameters()["marks"]), "what was given is asked for once"
    marks.expect([Mark(UUID(int=1), _NOW, 1, _NOW), Mark(UUID(int=2), _NOW, 1, _NOW + timedelta(seconds=1))])
    marks.passed(marks.parameters())
    assert str(UUID(int=2)) in str(marks.parameters()["marks"]), "but for the newest: who committed it may be dead"
    assert str(UUID(int=1)) not in str(marks.parameters()["marks"])


def test_after_its_report_was_answered_a_worker_misses_nothing_more() -> None:
    marks = Marks()
    marks.answered("claim_orders", [row()])
    before = marks.parameters()
    marks.failed()
    assert marks.problem
    asked = marks.report()
    assert asked["report"] and asked == marks.parameters()
    marks.passed(before)
    assert marks.parameters()["report"], "that was asked before it reported"
    marks.passed(asked)
    assert marks.parameters() == {"marks": "[]", "report": None}
    assert not marks.problem


def test_what_it_says() -> None:
    assert len(told(Done(), dry_run=True)) == 1
    lines = told(Done(restored=3, newer=2, removed=1, twice=1, no_metadata=1, no_reasons=2), dry_run=False)
    assert lines[0].startswith("3 orders restored, 2 brought to the state")
    assert len(lines) == 4
