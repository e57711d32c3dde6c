"""The committed row, and the status record that is published from it."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from schemas.decision import Status


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


class Row(StatusRecord, frozen=True, kw_only=True, gc=False):
    """A committed row of `orders`, with what is not published: the reasons, the metadata, the fingerprint."""

    reasons: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    fingerprint: bytes

    @property
    def is_final(self) -> bool:
        return self.status != "under_review"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StatusRecord).decode
_PUBLISHED = StatusRecord.__struct_fields__


def encode_status(row: StatusRecord) -> bytes:
    """The record's bytes: the same row always gives the same bytes."""
    return _encode(published(row))


def published(row: StatusRecord) -> StatusRecord:
    """What of the row everybody may read."""
    return StatusRecord(**{name: getattr(row, name) for name in _PUBLISHED})


def decode_status(raw: bytes) -> StatusRecord:
    """Raises msgspec.MsgspecError on anything that this program would not have written."""
    return _decode(raw)
