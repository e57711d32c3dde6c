"""Reads what the plain way does not take for an order: says what is wrong with it, or keeps unknown fields."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from schemas.invalid_order import InvalidOrder
from schemas.likely import likely_cause

MAX_METADATA_DEPTH = 32
"""jsonb and msgspec both recurse; nobody's trace metadata is deeper."""

_FIELDS = ("order_id", "customer_id", "amount", "term_months", "product", "created_at", "metadata")
_DASHED = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
#: With dashes or without, in braces or not, or as a URN.
_UUID = re.compile(rf"(?P<open>\{{)?(?:urn:uuid:)?(?P<id>{_DASHED}|[0-9a-fA-F]{{32}})(?(open)\}})", re.IGNORECASE)
#: A number as JSON writes it, in quotes or not.
AMOUNT = re.compile(r'(?P<quote>"?)(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)(?P=quote)')


def read_carefully(raw: bytes) -> dict[str, Any]:
    """The fields of an order; those that an order does not have are part of `metadata`. Raises InvalidOrder.

    Not checked here: whether each field is there, and of its kind.
    """
    fields = _load(raw)
    known = {name: fields.pop(name) for name in _FIELDS if name in fields}
    if fields:
        metadata = known.get("metadata", {})
        if isinstance(metadata, dict):
            known["metadata"] = fields | metadata
    if isinstance(known.get("order_id"), str):
        known["order_id"] = _uuid(known["order_id"])
    amount = known.get("amount")
    if isinstance(amount, str) and not AMOUNT.fullmatch(amount):
        raise InvalidOrder("invalid_amount", "amount is not written as a plain number")
    known |= {name: _storable(known[name]) for name in ("customer_id", "product") if name in known}
    known["metadata"] = _storable(known.get("metadata", {}))
    return known


def _load(raw: bytes) -> dict[str, Any]:
    counted = _Pairs()
    try:
        fields = json.loads(raw, object_pairs_hook=counted, parse_float=Decimal, parse_constant=_no_constants)
    except InvalidOrder:
        raise
    except RecursionError:
        raise InvalidOrder("too_deep", "the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise InvalidOrder("not_utf8", f"the value is not UTF-8{likely_cause(raw)}") from None
    except InvalidOperation:
        raise InvalidOrder("not_json", "the value is not JSON: a number's exponent is out of range") from None
    except ValueError as error:
        why = likely_cause(raw) or f": {getattr(error, 'msg', 'number too long')}"
        raise InvalidOrder("not_json", f"the value is not JSON{why}") from None
    if not isinstance(fields, dict):
        raise InvalidOrder("not_an_object", "the value is JSON but not an object")
    if counted.named_twice:
        raise InvalidOrder("duplicate_key", "the order names a field twice")
    return fields


class _Pairs:
    """Makes objects of their pairs, the outermost last: does that name a key twice? In metadata the last one counts."""

    named_twice = False

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        self.named_twice = len(fields) != len(pairs)
        return fields


def _no_constants(name: str) -> None:
    raise InvalidOrder("not_json", f"{name} is not JSON")


def _uuid(text: str) -> UUID:
    """Python's own reading of it takes any alphabet's digits, and signs and dashes anywhere: another order's id."""
    found = _UUID.fullmatch(text.strip())
    if found is None:
        raise InvalidOrder("invalid_field", "Invalid UUID - at `$.order_id`")
    return UUID(found["id"])


def _storable(value: object, depth: int = 1) -> Any:
    """`value` as jsonb can hold it: bounded depth, no NUL, no lone surrogate, finite numbers."""
    if depth > MAX_METADATA_DEPTH:
        raise InvalidOrder("too_deep", f"metadata is nested deeper than {MAX_METADATA_DEPTH}")
    if isinstance(value, dict):
        return {_storable(key, depth): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, str) and ("\0" in value or (not value.isprintable() and _has_surrogate(value))):
        raise InvalidOrder("invalid_text", "a text holds a NUL or half a surrogate pair")
    if isinstance(value, Decimal | int) and not isinstance(value, bool) and abs(_float(value)) > 1e300:
        raise InvalidOrder("invalid_field", "Number out of range")
    return float(value) if isinstance(value, Decimal) and depth > 1 else value


def _float(value: Decimal | int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
