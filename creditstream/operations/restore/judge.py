"""PURE: what was published of an order against the row that is here: which of the two stays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from msgspec.structs import replace

from schemas.order import Order
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, Row, StatusRecord, published

#: "write": the row is lacking, or older. "look": both were written, or published, in two ways, and all that was
#: published of the order has to be known.
Verdict = Literal["keep", "write", "look"]


class Settled(NamedTuple):
    """How it ends when an order was written in two ways. `row`: to be written, or None; `publish`: it is to be
    published, as the last record on the topic says something else."""

    row: StatusRecord | None
    publish: bool


def judged(told: StatusRecord, held: Row | None) -> Verdict:
    """By one record of `order-status`, and the row."""
    if held is None:
        return "write"
    if _is_decided(told) and not _same_decision(told, held) and (_is_decided(held) or held.version >= told.version):
        return "look"
    if told.version > held.version:
        return "write"
    return "look" if told.version == held.version and told != published(held) else "keep"


def settled(history: Sequence[StatusRecord], held: Row | None, now: datetime) -> Settled:
    """By all records of the order, in the order in which they were published. What was decided first stays, and an
    erasure: also when it was the other decision's."""
    first = next(filter(_is_decided, history), None)
    kept = [each for each in history if first is None or _same_decision(each, first)]
    top, last = max(kept, key=lambda each: each.version), history[-1]
    top = _erased_with(top, [*history, *([held] if held else [])])
    highest = max(each.version for each in history)
    if held is not None and held.version > highest and (first is None or _same_decision(held, first)):
        return Settled(None, publish=last != top)
    if last != top:
        top = replace(top, version=max(highest, held.version if held else 0) + 1, updated_at=now)
    is_here = held is not None and published(held) == top
    return Settled(None if is_here else top, publish=last != top)


def _erased_with(kept: StatusRecord, others: Sequence[StatusRecord]) -> StatusRecord:
    """Another order with its id may be another customer's."""
    erased = replace(kept, customer_id=FORGOTTEN_CUSTOMER)
    is_erased = any(_content(each) == _content(erased) for each in others)
    return erased if is_erased else kept


def row_of(told: StatusRecord, held: Row | None) -> Row:
    """The row that says what was published. The reasons are not published: they are here if this decision is."""
    reasons = held.reasons if held is not None and _same_decision(told, held) else ()
    return Row(
        **{name: getattr(told, name) for name in StatusRecord.__struct_fields__},
        reasons=reasons,
        fingerprint=fingerprint_of(told),
    )


def fingerprint_of(told: StatusRecord) -> bytes:
    """Of the order's content, which is published; zeros for a customer who was forgotten."""
    if told.customer_id == FORGOTTEN_CUSTOMER:
        return FORGOTTEN
    return Order(
        order_id=told.order_id,
        customer_id=told.customer_id,
        amount=told.amount,
        term_months=told.term_months,
        product=told.product,
        created_at=told.created_at,
    ).fingerprint()


def may_have_reasons(told: StatusRecord) -> bool:
    """Whether the risk API was heard about it."""
    return told.score is not None or told.reason == "no_usable_answer"


def _is_decided(row: StatusRecord) -> bool:
    return row.status != "under_review"


def _same_decision(one: StatusRecord, other: StatusRecord) -> bool:
    return _decision(one) == _decision(other)


def _content(row: StatusRecord) -> tuple[object, ...]:
    return row.customer_id, row.amount, row.term_months, row.product, row.created_at


def _decision(row: StatusRecord) -> tuple[object, ...]:
    return row.status, row.score, row.reason, row.model_version, row.policy_version
