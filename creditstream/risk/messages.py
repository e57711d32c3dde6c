"""PURE: the request about one order, and what an answer of the risk API means."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import msgspec

from creditstream.errors import RiskRefused, RiskUnusable
from schemas.assessment import Assessment, ModelVersion, Reasons
from schemas.order import Order

MAX_ANSWER_BYTES = 64 * 1024
"""A score and fifty reasons of 200 characters are a fifth of it; more is some other page."""

_REFUSED = frozenset({400, 404, 422})
#: Fields that are read. `order_id` and `customer_id` need not be there; what they say must be true.
_FIELDS = ("score", "reasons", "model_version", "order_id", "customer_id")
_QUOTED = tuple(f'"{name}"'.encode() for name in _FIELDS)
_READ, _WHOSE = _QUOTED[:3], _QUOTED[3:]
#: Digits of a whole number that may be a score; a longer one need not be counted out.
_DIGITS = 20
#: What the standard library's parser raises on texts that are no date: ValueError is the one that it documents.
_NO_DATE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Assessment).decode


class MayPass(Exception):
    """No usable answer this time. `outcome` is a stable word; `retry_after`: seconds the API asks to be left alone."""

    def __init__(self, outcome: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.retry_after = retry_after


def encode_request(order: Order) -> bytes:
    """The body: the same for every attempt, and for every record of the order.

    `metadata` stays at home: the bureau does not need it (LGPD: no more than is necessary), and a producer's retry may
    carry other metadata: the same Idempotency-Key with another body is an error at such an API.
    """
    return _encode(
        {
            "order_id": order.order_id,
            "customer_id": order.customer_id,
            "amount": order.amount,
            "term_months": order.term_months,
            "product": order.product,
            "created_at": order.created_at,
        }
    )


def read_answer(order: Order, status: int, body: bytes, retry_after: str | None, now: datetime) -> Assessment:
    """The assessment of that order. Raises RiskRefused (400, 404, 422), RiskUnusable (a 200 that is JSON, and holds no
    score that we may use for it), or MayPass (all the rest).

    401, 403 and redirects may pass too: they say that our address or credential is wrong, nothing about the order.
    """
    if status == 200:
        if len(body) > MAX_ANSWER_BYTES:
            raise MayPass("bad_answer", f"200 with a body of more than {MAX_ANSWER_BYTES} bytes")
        return _plainly(body) or _carefully(body, order)
    if status in _REFUSED:
        raise RiskRefused(f"the risk API answered {status}")
    outcome = "throttled" if status == 429 else "unavailable"
    raise MayPass(outcome, f"the risk API answered {status}", parse_retry_after(retry_after, now))


def _plainly(body: bytes) -> Assessment | None:
    """None: look at it with care. msgspec alone would pass over an escaped key, a key given twice, another's id, and
    bytes that are no text where nothing is read.
    """
    if b"\\" in body or not body.isascii():
        return None
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return answer if _holds_no_more(body, answer) or _names_each_once(body) else None


def _holds_no_more(body: bytes, answer: Assessment) -> bool:
    """By its quotes: as many as our three keys and the texts that were found need."""
    return bool(answer.reasons) and body.count(b'"') == 2 * (len(_READ) + len(answer.reasons) + 1)


def _names_each_once(body: bytes) -> bool:
    """It names other fields than ours, or no reasons."""
    return all(body.count(name) <= 1 for name in _READ) and not any(name in body for name in _WHOSE)


class _Doubled(dict[str, Any]):
    """A JSON object that names a key of `_FIELDS` twice."""


def _carefully(body: bytes, order: Order) -> Assessment:
    """Some ten times slower than the plain way, and says what is wrong. No message quotes the body."""
    try:
        answer = json.loads(body.decode(), object_pairs_hook=_object, parse_int=_whole, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MayPass("bad_answer", "200 with a body that is not JSON") from None
    if not isinstance(answer, dict):
        raise RiskUnusable("it is JSON, and no object")
    if whose := _whose(answer, order):
        raise RiskUnusable(whose, may_be_anothers=True)
    problem = _problem(answer.get("score"))
    reasons, model = _kept(answer.get("reasons", ()), Reasons), _kept(answer.get("model_version"), ModelVersion)
    if not problem and reasons is not None and model is not None:
        return Assessment(score=answer["score"], reasons=reasons, model_version=model)
    raise RiskUnusable(problem or "its reasons or its model version cannot be kept", reasons or (), model)


def _whose(answer: Mapping[str, object], order: Order) -> str:
    """Why it may be about another; empty: nothing says so."""
    if isinstance(answer, _Doubled):
        return "it names a field twice"
    if not _is_same(answer.get("order_id"), str(order.order_id), str.lower):
        return "it is about another order"
    if not _is_same(answer.get("customer_id"), order.customer_id, str):
        return "it is about another customer"
    return ""


def _problem(score: object) -> str:
    """Why it may not be used; empty: it may."""
    if type(score) is not int:
        return "it has no score" if score is None else "its score is not a whole number"
    return "" if 0 <= score <= 1000 else "its score is out of range"


def _is_same(told: object, ours: str, form: Callable[[str], str]) -> bool:
    """What is not told is not wrong."""
    return told is None or (isinstance(told, str) and form(told) == ours)


def _kept(value: object, kind: object) -> Any:
    """The value, if we can store it; else None."""
    try:
        kept = msgspec.convert(value, kind)
        _encode(kept)  # half a surrogate pair cannot be written
    except (msgspec.MsgspecError, ValueError):
        return None
    return kept


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    names = [name for name, _ in pairs]
    return _Doubled(fields) if any(names.count(name) > 1 for name in _FIELDS) else fields


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else math.inf


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_retry_after(value: str | None, now: datetime) -> float:
    """Seconds from `now`, from either form of the header (RFC 9110, 10.2.3); 0 when it is missing or makes no sense."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
        except _NO_DATE:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
