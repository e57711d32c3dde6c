"""PURE: the request about one order, and what an answer of the risk API means."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from creditstream.errors import RiskRefused
from schemas.assessment import Assessment
from schemas.order import Order

MAX_ANSWER_BYTES = 64 * 1024
"""A score and fifty reasons of 200 characters are a fifth of it; more is some other page."""

_REFUSED = frozenset({400, 404, 422})
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


def read_answer(status: int, body: bytes, retry_after: str | None, now: datetime) -> Assessment:
    """The assessment. Raises RiskRefused (400, 404, 422) or MayPass (all that is not a well-formed 200).

    401, 403 and redirects may pass too: they say that our address or credential is wrong, nothing about the order.
    """
    if status == 200:
        if len(body) > MAX_ANSWER_BYTES:
            raise MayPass("bad_answer", f"200 with a body of more than {MAX_ANSWER_BYTES} bytes")
        try:
            return _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Not the decoder's message: it may quote the body.
            raise MayPass("bad_answer", "200 with a body that is not an assessment") from None
    if status in _REFUSED:
        raise RiskRefused(f"the risk API answered {status}")
    outcome = "throttled" if status == 429 else "unavailable"
    raise MayPass(outcome, f"the risk API answered {status}", parse_retry_after(retry_after, now))


def parse_retry_after(value: str | None, now: datetime) -> float:
    """Seconds from `now`, from either form of the header (RFC 9110, 10.2.3); 0 when it is missing or makes no sense."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
