"""One order, whichever worker is asked: its status from the owning worker's table, its reasons from the replica."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from creditstream.config.retention import months_before
from creditstream.errors import StoreUnavailable
from creditstream.web.answers.dashboard import Dashboard, Found
from schemas.status import StatusRecord, decode_status


class Unknown(Exception):
    """Neither found nor known to be missing: what would know is away."""


class Orders:
    """`ask_owner` gives the record in the table that has the order's partition, None when it has none.

    It raises StoreUnavailable when no owner is known or it does not answer.
    """

    def __init__(
        self, dashboard: Dashboard, ask_owner: Callable[[UUID], Awaitable[bytes | None]], retention_months: int = 0
    ) -> None:
        self._dashboard, self._ask_owner = dashboard, ask_owner
        self._retention_months = retention_months

    async def find(self, order_id: UUID) -> bytes | None:
        """The JSON of `GET /orders/{id}`; None: there is no such order. Raises Unknown."""
        (published, owner_answers), (found, replica_answers) = await asyncio.gather(
            self._published(order_id), self._stored(order_id)
        )
        record = _newest(published, found)
        if record is None:
            if not (owner_answers or replica_answers):
                raise Unknown
            return None
        reasons = found.reasons if found and found.order.version == record.version else ()
        return msgspec.json.encode(
            {
                **msgspec.structs.asdict(record),
                "reasons": reasons,
                "available": replica_answers,
                "timeline": _timeline(record),
            }
        )

    async def _published(self, order_id: UUID) -> tuple[StatusRecord | None, bool]:
        """The last published record, and whether the one who has it answered."""
        try:
            record = await self._ask_owner(order_id)
        except StoreUnavailable:
            return None, False
        published = decode_status(record) if record else None
        return (None if published and self._may_be_dropped(published) else published), True

    def _may_be_dropped(self, published: StatusRecord) -> bool:
        """Its month may have been dropped: a running worker's table does not hear of that, PostgreSQL knows."""
        months = self._retention_months
        return bool(months) and published.created_at < months_before(datetime.now(UTC), months)

    async def _stored(self, order_id: UUID) -> tuple[Found | None, bool]:
        try:
            return await self._dashboard.order(order_id), True
        except StoreUnavailable:
            return None, False


def _newest(published: StatusRecord | None, found: Found | None) -> StatusRecord | None:
    """The replica may be behind; and what is committed is published a moment later."""
    if published and found:
        return published if published.version >= found.order.version else found.order
    return published or (found.order if found else None)


def _timeline(record: StatusRecord) -> list[dict[str, Any]]:
    """Oldest first. Only the last state is kept anywhere: when an earlier one began is not known."""
    steps = [_step("received", record.created_at, 0)]
    if record.version > 1:
        steps.append(_step("under_review", None, 1))
    last = _step(record.status, record.updated_at, record.version)
    return [*steps, {**last, "score": record.score, "reason": record.reason}]


def _step(status: str, at: datetime | None, version: int) -> dict[str, Any]:
    return {"status": status, "at": at, "version": version, "score": None, "reason": None}
