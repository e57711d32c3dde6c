"""The committed row, and the status record that is published from it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from schemas.decision import Status, waits_for_person

#: The fingerprint of an order whose customer was forgotten: a hash of the content would be personal data. Whatever
#: comes with its id is a repeat of it.
FORGOTTEN = bytes(16)
#: Stands in the place of such a customer's id.
FORGOTTEN_CUSTOMER = "[forgotten]"


class StatusRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The value on `order-status`: field for field what PostgreSQL holds. `version` counts state changes from 1."""

    order_id: UUID
    customer_id: str
    amount: Decimal
    term_months: int
    product: str
    status: Status
    score: int | None
    reason: str
    model_version: str | None
    policy_version: str | None
    created_at: datetime
    updated_at: datetime
    version: int


#: What is published of an order, or when it was removed.
Told = StatusRecord | datetime


class Row(StatusRecord, frozen=True, kw_only=True, gc=False):
    """A committed row of `orders`, with what is not published: the reasons, the fingerprint.

    Without the metadata: they are written, and nothing here reads them.
    """

    reasons: tuple[str, ...] = ()
    fingerprint: bytes

    @property
    def is_settled(self) -> bool:
        """Decided, for a person to decide, or forgotten: the risk API is not asked again.

        Of these only a row that waits for a person changes once more, when its letter is sent again (ADR 0018).
        """
        return self.status != "under_review" or self.fingerprint == FORGOTTEN or self.waits_for_person

    @property
    def waits_for_person(self) -> bool:
        """It has a dead letter, by which it can be tried again."""
        return self.fingerprint != FORGOTTEN and waits_for_person(self.status, self.reason)

    def is_of(self, fingerprint: bytes) -> bool:
        """Whether an order with this content is the row's own, not a conflict with it."""
        return same_content(self.fingerprint, fingerprint)


def same_content(known: bytes, fingerprint: bytes) -> bool:
    """Whether content is what is known of an order's id."""
    return known in (fingerprint, FORGOTTEN)


#: Of what a row can hold (creditstream/store/sql/migrations/0001_orders.sql).
_MOST, _MOST_SCORE, _MOST_AMOUNT = 2**31 - 1, 1_000, 10**12
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StatusRecord).decode
_PUBLISHED = StatusRecord.__struct_fields__
_OWN = b',"reasons":'


def encode_status(row: StatusRecord) -> bytes:
    """The record's bytes: the same row always gives the same bytes.

    A Row's own fields come behind those of a StatusRecord. A quote inside of a text has a backslash before it, so the
    first of those fields is found where it begins, and nowhere else.
    """
    raw = _encode(row)
    return raw[: raw.rindex(_OWN)] + b"}" if isinstance(row, Row) else raw


def published(row: StatusRecord) -> StatusRecord:
    """What of the row everybody may read."""
    return StatusRecord(**_fields(row))


def _fields(row: StatusRecord) -> dict[str, Any]:
    """A Row's own fields come behind those of a StatusRecord."""
    return dict(zip(_PUBLISHED, msgspec.structs.astuple(row), strict=False))


def decode_status(raw: bytes) -> StatusRecord:
    """Raises msgspec.MsgspecError on anything that this program would not have written."""
    return _decode(raw)


def told_by(key: bytes | None, value: bytes | None, timestamp_ms: int) -> tuple[UUID, Told] | None:
    """The order of a record of `order-status`, and what it says. None: it is none of ours, whatever stands there."""
    try:
        order_id = UUID((key or b"").decode())
        if value is None:
            return order_id, datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        status = decode_status(value)
        return (order_id, status) if status.order_id == order_id and _can_be_a_row(status) else None
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _can_be_a_row(status: StatusRecord) -> bool:
    """By the types and rules of the table `orders`: a worker publishes what PostgreSQL has, and nothing else."""
    texts = (status.customer_id, status.product, status.reason, status.model_version, status.policy_version)
    return (
        0 < status.version <= _MOST
        and 0 < status.term_months <= _MOST
        and (status.status == "under_review" if status.score is None else 0 <= status.score <= _MOST_SCORE)
        and status.amount.is_finite()
        and 0 < status.amount < _MOST_AMOUNT
        and status.amount == round(status.amount, 2)
        and not any("\0" in text for text in texts if text)
        and all(time.tzinfo is UTC and _FIRST <= time < _LAST for time in (status.created_at, status.updated_at))
    )
