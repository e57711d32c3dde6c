"""Proposals as the store's statements read them: one JSON value for many."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from creditstream.order.ports import Proposal
from creditstream.store.errors import BadRow
from schemas.decision import WAITING, Decision
from schemas.order import Order
from schemas.status import Row

MAX_BYTES = 8 * 1024 * 1024
"""Of several orders in one statement: 500 of the largest are 2 GB, more than PostgreSQL takes, at 15 MB a second."""


class _TooMuch(BadRow):
    """For one statement: some of these orders are tried at a time."""


class _Given(msgspec.Struct, frozen=True, gc=False):
    """One proposal as the statements read it."""

    order_id: UUID
    fingerprint: bytes
    customer_id: str
    amount: Decimal
    term_months: int
    product: str
    created_at: datetime
    metadata: dict[str, Any]
    status: str
    reason: str
    reasons: tuple[str, ...]
    score: int | None
    model_version: str | None
    policy_version: str | None
    replaces: int | None


_encode = msgspec.json.Encoder().encode


def as_json(batch: Iterable[Proposal]) -> str:
    """Raises BadRow when it cannot be written so, or is too much for one statement."""
    encoded, size = [], 0
    try:
        for proposal in batch:
            encoded.append(_encode(_given(*proposal)))
            size += len(encoded[-1])
            if size > MAX_BYTES and len(encoded) > 1:
                raise _TooMuch("limit_exceeded", "more than one statement takes")
        return f"[{b','.join(encoded).decode()}]"
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise BadRow("invalid_data", f"{type(error).__name__}: cannot be written as JSON") from None


def gives_way(row: Row, proposal: Proposal) -> bool:
    """PURE: whether the row, as it stands, makes way for what is proposed: the rule of `settle_orders`."""
    if proposal.decision.reason == WAITING.reason or not row.is_of(proposal.fingerprint):
        return False
    if row.waits_for_person:
        return row.version == proposal.replaces
    if row.is_settled:
        return False
    return (row.status, row.reason) != (proposal.decision.status, proposal.decision.reason)


def as_array(values: Iterable[object]) -> str:
    """A PostgreSQL array of things whose text needs no quotes."""
    return "{" + ",".join(map(str, values)) + "}"


def _given(order: Order, fingerprint: bytes, decision: Decision, replaces: int | None) -> _Given:
    return _Given(
        order.order_id,
        fingerprint,
        order.customer_id,
        order.amount,
        order.term_months,
        order.product,
        order.created_at,
        order.metadata,
        decision.status,
        decision.reason,
        decision.reasons,
        decision.score,
        decision.model_version,
        decision.policy_version,
        replaces,
    )
