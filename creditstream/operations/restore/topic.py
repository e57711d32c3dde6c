"""PURE: the records of `order-status` as `restore` takes them: an order once in a page, in the topic's order."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from creditstream.operations.dead_letter import Fetched
from schemas.status import StatusRecord, decode_status

#: What is published of an order, or when it was removed.
Told = StatusRecord | datetime


def told_by(record: Fetched) -> tuple[UUID, Told] | None:
    """None: it is none of ours."""
    try:
        if not record.value:
            return UUID((record.key or b"").decode()), datetime.fromtimestamp(record.timestamp / 1000, UTC)
        status = decode_status(record.value)
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return status.order_id, status


def pages(records: Iterable[Fetched]) -> list[dict[UUID, Told]]:
    """An order's second record is on the second page, and so on."""
    made: list[dict[UUID, Told]] = []
    count: Counter[UUID] = Counter()
    for record in records:
        found = told_by(record)
        if found is None:
            continue
        order_id, told = found
        if count[order_id] == len(made):
            made.append({})
        made[count[order_id]][order_id] = told
        count[order_id] += 1
    return made
