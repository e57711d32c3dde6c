"""What the request says and what an answer means."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import RiskRefused, RiskUnusable
from creditstream.risk.messages import MAX_ANSWER_BYTES, MayPass, encode_request, parse_retry_after, read_answer
from devtools.fakes import an_order
from schemas.assessment import Assessment

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORDER = an_order()
GOOD = {"score": 712, "reasons": ["a"], "model_version": "m"}


def answer(body: object, status: int = 200) -> Assessment:
    return read_answer(ORDER, status, body if isinstance(body, bytes) else json.dumps(body).encode(), None, NOW)


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
        b'{"score": 7',
        b'{"score": null, "model_version"',
        b'{"score": NaN, "model_version": "m"}',
        b'{"score": -Infinity, "model_version": "m"}',
        b"<html>",
        b"\xff",
        b'{"score":1,"model_version":"\xff"}',
        b'{"score":712,"model_version":"m","new":"\xff"}',
        b'{"score":712,"model_version":"m","new":{"\xed\xa0\x80":1}}',
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode() * 2,
        json.dumps(GOOD).encode() + b" " * MAX_ANSWER_BYTES,
    ],
)
def test_a_body_that_does_not_parse_may_pass(body: bytes) -> None:
    with pytest.raises(MayPass) as failure:
        answer(body)
    assert failure.value.outcome == "bad_answer"
    assert "712" not in str(failure.value)


def test_what_is_nested_deeply_costs_the_answer_at_most() -> None:
    """Python 3.14 reads as deep as the stack is, earlier ones not so deep."""
    deep = b"[" * 30_000 + b"]" * 30_000
    for body in (deep, b'{"score":1,"score":1,"model_version":"m","new":' + deep + b"}"):
        with pytest.raises((MayPass, RiskUnusable)):
            answer(body)
    try:
        assert answer(b'{"score":1,"model_version":"m","new":' + deep + b"}").score == 1
    except (MayPass, RiskUnusable) as failure:
        assert "score" not in str(failure)


def text(fields: str) -> bytes:
    """A good answer with more, or other, fields in front, as they are written."""
    return b"{" + fields.encode() + b',"model_version":"m"}'


UNUSABLE: dict[str, object] = {
    "no file": {**GOOD, "score": None},
    "no score": {"reasons": ["a"], "model_version": "m"},
    "an error": {"error": "internal"},
    "nothing": {},
    "null": None,
    "a number": 712,
    "a text": "712",
    "true": True,
    "no answers": [],
    "one answer in a list": [GOOD],
    "several answers": [GOOD, {**GOOD, "score": 100}],
    "below": {**GOOD, "score": -1},
    "above": {**GOOD, "score": 1001},
    "huge": text('"score":' + "7" * 30_000),
    "huge with an exponent": text('"score":1e999'),
    "text": {**GOOD, "score": "712"},
    "text with an exponent": {**GOOD, "score": "7e2"},
    "not whole": {**GOOD, "score": 712.5},
    "whole, as a fraction": {**GOOD, "score": 712.0},
    "as an exponent": text('"score":7e2'),
    "yes": {**GOOD, "score": True},
    "a list": {**GOOD, "score": [712]},
    "an object": {**GOOD, "score": {"value": 712}},
    "two scores": text('"score":712,"score":100'),
    "the same score twice": text('"score":712,"score":712'),
    "an escaped second score": text('"score":712,"\\u0073core":100'),
    "two models": text('"score":712,"model_version":"n"'),
    "twice reasons": text('"score":712,"reasons":[],"reasons":["a"]'),
    "two order ids": text(f'"score":712,"order_id":"{ORDER.order_id}","order_id":"{ORDER.order_id}"'),
    "another order": {**GOOD, "order_id": "00000000-0000-4000-8000-000000000000"},
    "another order, escaped": text('"score":712,"\\u006frder_id":"00000000-0000-4000-8000-000000000000"'),
    "an order id that is none": {**GOOD, "order_id": 7},
    "another customer": {**GOOD, "customer_id": "c-103"},
    "a customer of another type": {**GOOD, "customer_id": 102},
    "no model": {"score": 712},
    "empty model": {**GOOD, "model_version": ""},
    "null model": {**GOOD, "model_version": None},
    "long model": {**GOOD, "model_version": "m" * 65},
    "NUL in the model": {**GOOD, "model_version": "m\u0000"},
    "half a pair in the model": {**GOOD, "model_version": "\ud800"},
    "reasons as a text": {**GOOD, "reasons": "a"},
    "reasons as an object": {**GOOD, "reasons": {}},
    "null reasons": {**GOOD, "reasons": None},
    "reasons that are numbers": {**GOOD, "reasons": [1]},
    "NUL in a reason": {**GOOD, "reasons": ["a\u0000"]},
    "half a pair in a reason": {**GOOD, "reasons": ["\udfff"]},
    "too many reasons": {**GOOD, "reasons": ["a"] * 51},
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_json_without_a_usable_score_is_an_outcome(name: str) -> None:
    with pytest.raises(RiskUnusable) as failure:
        answer(UNUSABLE[name])
    assert "712" not in str(failure.value) and "\n" not in str(failure.value)


def test_what_is_wrong_is_said() -> None:
    for name, said in (
        ("no file", "it has no score"),
        ("text", "its score is not a whole number"),
        ("above", "its score is out of range"),
        ("huge", "its score is not a whole number"),
        ("two scores", "it names a field twice"),
        ("another order", "it is about another order"),
        ("another customer", "it is about another customer"),
        ("empty model", "its reasons or its model version cannot be kept"),
        ("null", "it is JSON, and no object"),
    ):
        with pytest.raises(RiskUnusable) as failure:
            answer(UNUSABLE[name])
        assert said in str(failure.value), name


@pytest.mark.parametrize("score", [0, 1, 999, 1_000])
@pytest.mark.parametrize("reason", ["a", "é"])
def test_every_score_in_range_is_one_however_it_is_read(score: int, reason: str) -> None:
    """What is not ASCII is read with more care."""
    assert answer({**GOOD, "score": score, "reasons": [reason]}).score == score
    assert answer({"score": score, "reasons": [reason], "model_version": "m"}) == Assessment(
        score=score, reasons=(reason,), model_version="m"
    )


def test_a_number_where_nothing_is_read_may_be_as_long_as_it_likes() -> None:
    assert answer(text('"score":712,"\\u0061":' + "7" * 30_000)).score == 712


def test_what_of_it_can_be_kept_is_kept() -> None:
    for body, kept in (
        ({"score": None, "reasons": ["no_file"], "model_version": "m"}, (("no_file",), "m")),
        ({"score": None, "reasons": ["a\u0000"], "model_version": "m"}, ((), "m")),
        ({"score": 712, "reasons": ["a"], "model_version": "\ud800"}, (("a",), None)),
        ([GOOD], ((), None)),
    ):
        with pytest.raises(RiskUnusable) as failure:
            answer(body)
        assert (failure.value.reasons, failure.value.model_version) == kept


_ANOTHERS = '"reasons":["late payments"],"score":712'


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "order_id": "00000000-0000-4000-8000-000000000000"},
        {**GOOD, "customer_id": "c-103"},
        text(f'"customer_id":"c-103","customer_id":"{ORDER.customer_id}",{_ANOTHERS}'),
        text(f'"order_id":"{ORDER.order_id}","order_id":null,{_ANOTHERS}'),
    ],
)
def test_nothing_is_kept_of_what_may_be_said_of_another(body: object) -> None:
    """A bureau's reasons about one customer must not stand in another's row."""
    with pytest.raises(RiskUnusable) as failure:
        answer(body)
    assert (failure.value.reasons, failure.value.model_version) == ((), None)
    assert failure.value.may_be_anothers


def test_an_answer_may_say_whose_it_is_and_hold_more() -> None:
    echo = {"order_id": str(ORDER.order_id).upper(), "customer_id": ORDER.customer_id, "new": {"score": 1, "x": [{}]}}
    assert answer({**GOOD, **echo}) == answer(GOOD)
    assert answer({**GOOD, "order_id": None, "customer_id": None}) == answer(GOOD)
    assert answer({**GOOD, "reasons": ["score", "order_id", "\n".strip() + "é\\"]}).reasons[0] == "score"
    assert answer(text('"score":712,"x":1,"x":2')).score == 712


@given(st.integers(0, 1000), st.lists(st.text(), max_size=3), st.text(max_size=5))
def test_what_is_taken_can_be_stored(score: int, reasons: list[str], model: str) -> None:
    try:
        found = answer({"score": score, "reasons": reasons, "model_version": model})
    except RiskUnusable as error:
        kept: tuple[str, ...] = (*error.reasons, error.model_version or "")
    else:
        kept = (*found.reasons, found.model_version)
    assert all("\0" not in each and each.encode() is not None for each in kept)


@given(st.integers(100, 599), st.binary(max_size=100))
def test_every_status_has_a_meaning(status: int, body: bytes) -> None:
    error = RiskRefused if status in (400, 404, 422) else MayPass
    if status != 200:
        with pytest.raises(error, match=str(status)):
            answer(body, status)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_may_pass(body: bytes) -> None:
    with contextlib.suppress(MayPass, RiskUnusable):
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
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 99999999999:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 00:00:00 -999999999999999", 0),
        ("Mon, 01 Jan 2026 00:00:00 +9999", 0),
        (
            "Fri, 31 Dec 9999 23:59:59 -2359",
            (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - NOW).total_seconds() + 86_340,
        ),
        ("1e999", 0),
        ("9" * 5_000, 0),
        ("-0", 0),
    ],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_a_wait(value: str) -> None:
    assert 0 <= parse_retry_after(value, NOW) < float("inf")
