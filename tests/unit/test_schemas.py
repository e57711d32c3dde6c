"""What travels: the exported JSON Schemas are current, and records are read back as they were written."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jsonschema
import msgspec
import pytest

from devtools.fakes import FakeStore, a_proposal, an_order
from schemas.assessment import Assessment
from schemas.dead_letter import DeadLetter
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE, WAITING, Decision, unscored
from schemas.export import FOLDER, exported
from schemas.status import StatusRecord, decode_status, encode_status


def test_the_exported_schemas_are_current() -> None:
    """`python -m schemas.export` makes them so."""
    assert {path.name: path.read_bytes() for path in FOLDER.glob("*.json")} == exported()


def test_the_schemas_judge_as_the_program_does() -> None:
    schema = json.loads(exported()["order.json"])
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    order = msgspec.json.decode(msgspec.json.encode(an_order()))
    for good in (order, order | {"amount": 0.07}, order | {"amount": "1"}, order | {"extra": 1}):
        validator.validate(good)
    for bad in ({"amount": 0}, {"amount": "1.234"}, {"term_months": 0}, {"customer_id": ""}, {"customer_id": "a\n"}):
        assert not validator.is_valid(order | bad)
    status = json.loads(exported()["status.json"])
    jsonschema.Draft202012Validator(status).validate(json.loads(encode_status(_row())))


def _row() -> Any:
    proposal = a_proposal()
    return FakeStore()._first(proposal)


def test_a_status_record_is_the_published_part_of_the_row() -> None:
    row = _row()
    record = decode_status(encode_status(row))
    assert type(record) is StatusRecord
    assert msgspec.structs.asdict(record).items() <= msgspec.structs.asdict(row).items()
    assert encode_status(record) == encode_status(row)
    assert set(json.loads(encode_status(row))) == {
        *("order_id", "customer_id", "amount", "term_months", "product", "status", "score", "reason"),
        *("model_version", "policy_version", "created_at", "updated_at", "version"),
    }


def test_amounts_are_text_so_that_no_reader_rounds_them() -> None:
    row = msgspec.structs.replace(_row(), amount=Decimal("0.10"))
    assert json.loads(encode_status(row))["amount"] == "0.10"


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b'{"status": "approved"}'])
def test_other_records_are_no_status(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_status(raw)


def test_only_under_review_is_open() -> None:
    assert not WAITING.is_settled and not unscored(RISK_UNAVAILABLE).is_settled
    assert Decision(status="approved", reason="x").is_settled and Decision(status="rejected", reason="x").is_settled
    assert all(unscored(reason).is_settled for reason in FOR_A_PERSON)


@pytest.mark.parametrize(
    "body",
    [
        b'{"score": -1, "model_version": "m"}',
        b'{"score": 1001, "model_version": "m"}',
        b'{"score": 1.5, "model_version": "m"}',
        b'{"score": 1}',
        b'{"score": 1, "model_version": ""}',
        b'{"score": 1, "model_version": "m\\n"}',
        b'{"score": 1, "model_version": "m", "reasons": ["a\\u0000"]}',
        b'{"score": 1, "model_version": "m", "reasons": [""]}',
        b'{"score": 1, "model_version": "m", "reasons": "x"}',
    ],
)
def test_assessments_that_are_none(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Assessment)


def test_an_assessment_may_say_more_than_we_know() -> None:
    body = b'{"score": 712, "reasons": ["ok"], "model_version": "m", "new_field": {}}'
    assert msgspec.json.decode(body, type=Assessment) == Assessment(score=712, reasons=("ok",), model_version="m")


def test_a_dead_letter_keeps_the_records_own_headers_and_says_why() -> None:
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    letter = DeadLetter(
        topic="orders",
        partition=3,
        offset=42,
        timestamp_ms=1,
        key=None,
        value=b"\xff",
        headers=(("trace", b"\x00"), ("x-attempts", b"9")),
        reason="not_utf8",
        message="the value is not UTF-8",
        first_failed_at=moment,
        last_failed_at=moment,
        version="1.0",
    )
    headers = letter.to_headers()
    assert headers[0] == ("trace", b"\x00")
    assert headers[1] == ("x-producer-x-attempts", b"9"), "what the producer sent is shown, and means nothing"
    assert dict(headers[2:]) == {
        "x-original-topic": b"orders",
        "x-original-partition": b"3",
        "x-original-offset": b"42",
        "x-original-timestamp": b"1",
        "x-error-class": b"not_utf8",
        "x-error-message": b"the value is not UTF-8",
        "x-attempts": b"1",
        "x-first-failed-at": b"2026-11-24T12:00:00+00:00",
        "x-last-failed-at": b"2026-11-24T12:00:00+00:00",
        "x-application-version": b"1.0",
    }
    assert len(headers) == 12
