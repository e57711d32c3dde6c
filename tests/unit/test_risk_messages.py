"""What the request says and what an answer means."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import RiskRefused
from creditstream.risk.messages import MAX_ANSWER_BYTES, MayPass, encode_request, parse_retry_after, read_answer
from creditstream.testing import an_order
from schemas.assessment import Assessment

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD = {"score": 712, "reasons": ["a"], "model_version": "m"}


def answer(body: object, status: int = 200) -> Assessment:
    return read_answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), None, NOW)


def test_the_request_has_the_business_fields_exactly() -> None:
    order = an_order(amount=Decimal("0.10"), created_at=datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert json.loads(encode_request(order)) == {
        "order_id": str(order.order_id),
        "customer_id": "c-102",
        "amount": "0.10",
        "term_months": 12,
        "product": "personal_loan",
        "created_at": "2026-11-23T12:00:00Z",
    }


def test_a_good_answer() -> None:
    assert answer(GOOD) == Assessment(score=712, reasons=("a",), model_version="m")
    assert answer({**GOOD, "new": [1]}) == answer(GOOD)
    assert answer({"score": 0, "model_version": "m"}).reasons == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"score": 7',
        b"<html>",
        b"\xff",
        b"[" * 40_000,
        b'{"score":1,"model_version":"\xff"}',
        {**GOOD, "score": -1},
        {**GOOD, "score": 1001},
        {**GOOD, "score": "712"},
        {**GOOD, "score": 712.0},
        {**GOOD, "score": True},
        {**GOOD, "score": None},
        {**GOOD, "model_version": ""},
        {**GOOD, "model_version": None},
        {**GOOD, "reasons": "a"},
        {**GOOD, "reasons": [1]},
        {**GOOD, "reasons": ["a\u0000"]},
        {"score": 712},
        json.dumps(GOOD).encode() + b" " * MAX_ANSWER_BYTES,
    ],
)
def test_a_body_that_is_no_assessment_may_pass(body: object) -> None:
    with pytest.raises(MayPass) as failure:
        answer(body)
    assert failure.value.outcome == "bad_answer"
    assert "712" not in str(failure.value)


def test_a_deep_field_that_nobody_reads_costs_the_answer_at_most() -> None:
    """Python 3.14 reads as deep as the stack is, earlier ones not so deep."""
    deep = b'{"score":1,"model_version":"m","new":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    try:
        assert answer(deep).score == 1
    except MayPass as failure:
        assert failure.outcome == "bad_answer"


@given(st.integers(100, 599), st.binary(max_size=100))
def test_every_status_has_a_meaning(status: int, body: bytes) -> None:
    error = RiskRefused if status in (400, 404, 422) else MayPass
    if status != 200:
        with pytest.raises(error, match=str(status)):
            answer(body, status)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_may_pass(body: bytes) -> None:
    with contextlib.suppress(MayPass):
        assert isinstance(answer(body), Assessment)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("1.5", 1.5),
        ("nan", 0),
        ("inf", 0),
        ("soon", 0),
        ("\ud800", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime((NOW + timedelta(seconds=90)).astimezone(timezone(timedelta(hours=-3)))), 90),
        ("Mon, 23 Nov 2026 12:01:30 -0000", 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        ("Mon, 99 Nov 2026 12:01:30 GMT", 0),
    ],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_a_wait(value: str) -> None:
    assert 0 <= parse_retry_after(value, NOW) < float("inf")
