"""The web server's pages: the status page, one order, and health. Routes are those of interface.md."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from creditstream.errors import StoreUnavailable
from creditstream.main import app
from creditstream.months import months_before
from creditstream.web.health import readiness
from creditstream.web.page import render_page
from schemas.status import decode_status
from tables.statuses import statuses

_SECURE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@app.page("/")
async def index(self: Any, _request: Any) -> Any:
    """Today's counts and the newest orders, from the read replica behind the cache."""
    board = await app.runtime.dashboard.board()
    return self.html(render_page(board, app.runtime.summary()), headers=_SECURE)


@app.page("/orders/{order_id}")
async def order(self: Any, _request: Any, order_id: str) -> Any:
    """One order's status: from this worker's table, else from the read replica."""
    try:
        wanted = UUID(order_id)
    except ValueError:
        return self.json({"error": "the order id is not a UUID"}, status=400, headers=_SECURE)
    try:
        record = _local(wanted) or await app.runtime.dashboard.order(wanted)
    except StoreUnavailable:
        return self.json({"error": "the read replica does not answer"}, status=503, headers=_SECURE)
    if record is None:
        return self.json({"error": "no such order"}, status=404, headers=_SECURE)
    return self.bytes(record, content_type="application/json", headers=_SECURE)


def _local(order_id: UUID) -> bytes | None:
    """This worker's record, unless its month may have been dropped: a running worker's table does not hear of that."""
    record = statuses.find(str(order_id).encode())
    months = app.settings.retention_months
    if record and months and decode_status(record).created_at < months_before(datetime.now(UTC), months):
        return None
    return record


@app.page("/health/live")
async def live(self: Any, _request: Any) -> Any:
    """The event loop answers, and no partition is stuck: otherwise a supervisor should restart this worker."""
    stuck = app.runtime.stuck
    body = {"status": "stuck", "partitions": stuck} if stuck else {"status": "live"}
    return self.json(body, status=503 if stuck else 200, headers=_SECURE)


@app.page("/health/ready")
async def ready(self: Any, _request: Any) -> Any:
    """Partitions assigned, tables recovered, Kafka and PostgreSQL answering."""
    problems = await readiness(app)
    state: dict[str, Any] = {"status": "unready", "problems": problems} if problems else {"status": "ready"}
    body = {**state, "notes": app.pipeline.notes()}
    return self.json(body, status=503 if problems else 200, headers=_SECURE)
