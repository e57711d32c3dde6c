"""The fingerprint tells a producer's retry (a duplicate) from other content under the same id (a conflict)."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from schemas.order import decode_order

USUAL: dict[str, Any] = {
    "order_id": "7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11",
    "customer_id": "c-102",
    "amount": "1500.50",
    "term_months": 12,
    "product": "personal_loan",
    "created_at": "2026-11-23T12:00:00Z",
}


def fingerprint(raw: bytes) -> bytes:
    return decode_order(raw, latest=datetime(2027, 1, 1, tzinfo=UTC), max_bytes=100_000).fingerprint()


def of(**fields: Any) -> bytes:
    return fingerprint(json.dumps(USUAL | fields).encode())


SAME = of()


def test_it_never_changes() -> None:
    """Fingerprints are stored: another algorithm would make a conflict of every old order's retry."""
    assert SAME.hex() == "7972f3193ebbac56033942313dd92864"


@pytest.mark.parametrize("indent", [None, 0, 4])
def test_spacing_and_key_order_do_not_count(indent: int | None) -> None:
    backwards = dict(reversed(USUAL.items()))
    assert fingerprint(json.dumps(backwards, indent=indent).encode()) == SAME


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"trace": "2"}},
        {"retry": 1},
        {"order_id": "{7B0C0A52-6D0E-4A52-9A25-0D6A1D5B1A11}"},
        {"order_id": str(uuid4())},  # the key under which it is compared, not part of the content
        {"amount": 1500.5},
        {"amount": "1500.5"},
        {"amount": "15005E-1"},
        {"created_at": "2026-11-23T09:00:00-03:00"},
        {"created_at": "2026-11-23T12:00:00.000000+00:00"},
    ],
)
def test_spelling_and_metadata_do_not_count(fields: dict[str, Any]) -> None:
    assert of(**fields) == SAME


def test_escapes_do_not_count() -> None:
    assert fingerprint(json.dumps(USUAL).replace("personal", "\\u0070ersonal").encode()) == SAME


@pytest.mark.parametrize(
    "fields",
    [
        {"customer_id": "c-103"},
        {"customer_id": "C-102"},
        {"amount": "1500.51"},
        {"amount": "150.05"},
        {"term_months": 13},
        {"product": "personal_loan "},
        {"created_at": "2026-11-23T12:00:00.000001Z"},
        {"created_at": "2026-11-23T12:00:00-03:00"},
        {"customer_id": "personal_loan", "product": "c-102"},
    ],
)
def test_every_business_field_counts(fields: dict[str, Any]) -> None:
    assert of(**fields) != SAME
