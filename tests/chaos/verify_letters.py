"""PURE: which reason a dead letter must have, from what was sent alone."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Logged

_TEXTS = ("customer_id", "product")
_MOST_AMOUNT = Decimal(10) ** 12
_OLDEST, _LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 2099))
#: Bytes that begin like UTF-16: whether they can be read as that depends on how many there are.
_UTF16 = b"\xff\xfe"
#: Reasons of what contradicts an order; the second when the order's month is gone.
_OF_CONFLICTS = {"conflict", "row_removed"}


def reasons_of(letters: Collection[Logged]) -> list[str]:
    return sorted({str(letter.headers.get("x-error-class")) for letter in letters})


def outcome_of_malformed(value: bytes, letters: Collection[Logged]) -> str:
    """Of a line that is no order: the outcome's name, or what is wrong."""
    reasons, wanted = reasons_of(letters), why_no_order(value)
    if not letters:
        return "no order, and nothing came of it"
    return "malformed" if set(reasons) <= set(wanted) else f"its letter says {', '.join(reasons)}, it is {wanted[0]}"


def outcome_of_conflict(letters: Collection[Logged], went_unseen: bool, what: str) -> str:
    """Of a line that contradicts an order. `went_unseen`: it may be taken for a repeat."""
    reasons = reasons_of(letters)
    if not letters:
        return "conflicts" if went_unseen else f"contradicts {what}, and nothing came of it"
    return "conflicts" if set(reasons) <= _OF_CONFLICTS else f"contradicts {what}, its letter says {', '.join(reasons)}"


def why_no_order(value: bytes) -> tuple[str, ...]:
    """The reasons that may be given for a line that its sender spoilt (creditstream/simulation/mix.py)."""
    if value.startswith(_UTF16):
        return "not_json", "not_utf8"
    twice: list[bool] = []

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    try:
        fields = json.loads(value.decode(), object_pairs_hook=counted, parse_constant=_refuse, parse_float=Decimal)
    except ValueError:
        return ("not_json",)
    if not isinstance(fields, dict):
        return ("not_an_object",)
    return ("duplicate_key",) if any(twice) else (_wrong_field(fields),)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _wrong_field(fields: dict[str, Any]) -> str:
    """What a missing or ill-typed field is called comes before what a value is called."""
    amount = fields.get("amount")
    if isinstance(amount, str) and _number(amount) is None:
        return "invalid_amount"
    if any("\0" in str(fields.get(name)) for name in _TEXTS):
        return "invalid_text"
    if not _is_complete(fields):
        return "invalid_field"
    number = Decimal(amount) if amount is not None else Decimal(0)
    if number <= 0 or number >= _MOST_AMOUNT or number != round(number, 2):
        return "invalid_amount"
    created_at = datetime.fromisoformat(fields["created_at"])
    return "an order" if _OLDEST <= created_at < _LATEST else "invalid_time"


def _number(text: str) -> Decimal | None:
    """None: it is not written as a plain number."""
    return Decimal(text) if text.removeprefix("-").replace(".", "", 1).isdecimal() else None


def _is_complete(fields: dict[str, Any]) -> bool:
    try:
        UUID(fields["order_id"])
        has_zone = datetime.fromisoformat(fields["created_at"]).tzinfo is not None
    except (KeyError, ValueError, TypeError, AttributeError):
        return False
    return (
        has_zone
        and all(isinstance(fields.get(name), str) and fields[name] for name in _TEXTS)
        and isinstance(fields.get("amount"), str | int | Decimal)
        and isinstance(fields.get("term_months"), int)
        and fields["term_months"] >= 1
        and isinstance(fields.get("metadata", {}), dict)
    )
