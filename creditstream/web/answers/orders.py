"""One order, whichever worker is asked: as the database has it, with its timeline."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from creditstream.web.answers.dashboard import Dashboard
from schemas.status import StatusRecord


async def find_order(dashboard: Dashboard, order_id: UUID) -> bytes | None:
    """The JSON of `GET /orders/{id}`; None: there is no such order. Raises StoreUnavailable: that cannot be said now.

    A row is committed before its status is published, so the database is never older than the topic. What changes
    while a page is open comes with its events.
    """
    found = await dashboard.order(order_id)
    if found is None:
        return None
    record = msgspec.structs.asdict(found.order)
    return msgspec.json.encode(
        {**record, "reasons": found.reasons, "available": True, "timeline": _timeline(found.order)}
    )


def _timeline(record: StatusRecord) -> list[dict[str, Any]]:
    """Oldest first. Only the last state is kept anywhere: when an earlier one began is not known."""
    steps = [_step("received", record.created_at, 0)]
    if record.version > 1:
        steps.append(_step("under_review", None, 1))
    last = _step(record.status, record.updated_at, record.version)
    return [*steps, {**last, "score": record.score, "reason": record.reason}]


def _step(status: str, at: datetime | None, version: int) -> dict[str, Any]:
    return {"status": status, "at": at, "version": version, "score": None, "reason": None}
