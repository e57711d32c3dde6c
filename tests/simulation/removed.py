"""What must be true of orders whose month `retention` has dropped, and of those whose months stay."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from creditstream.config.retention import months_before
from creditstream.kafka.topics import ORDER_STATUS
from schemas.status import FORGOTTEN, Row, encode_status
from tests.simulation.dropping import Dropping
from tests.simulation.evidence import Place, amount_of
from tests.simulation.months import end_of, month_of
from tests.simulation.past import Old
from tests.simulation.rows import Rows, moment

if TYPE_CHECKING:
    from tests.simulation.world import World


class Removed:
    """Asked by the other checks, told of every month that goes, and asked once more at the end."""

    def __init__(self, world: "World", past: list[Old]) -> None:
        self._world, self._past = world, past
        self._known = {str(old.row.order_id): old for old in past}
        #: Published after their row had gone, by a worker that had found it before: a fault that is known.
        self._late: set[str] = set()

    @property
    def _dropping(self) -> Dropping:
        return self._world.faults.operators.dropping

    def was_gone(self, order_id: str | UUID) -> bool:
        """Whether its row ever went with its month."""
        return str(order_id) in self._dropping.gone

    def is_gone(self, order_id: str | UUID) -> bool:
        return self._dropping.is_gone(str(order_id))

    def score(self, order_id: str) -> int | None:
        """By which it was decided before the world began."""
        old = self._known.get(order_id)
        return None if old is None else old.row.score

    def amounts(self, order_id: UUID) -> set[Decimal]:
        """What was sent of it before the world began."""
        old = self._known.get(str(order_id))
        return set() if old is None else {old.row.amount}

    def came_back_unseen(self, order_id: UUID) -> bool:
        """Refused as gone, and written by a worker that is not its owner any more, after its id was deleted."""
        evidence = self._world.checks.evidence
        return "row_removed" in evidence.letters_of[order_id] and order_id not in evidence.last

    # -- while it runs

    def on_drop(self, month: str, rows: Rows) -> None:
        settings = self._world.workers[0].settings
        cutoff = months_before(datetime.fromisoformat(moment()), settings.retention_months)
        for order_id, row in rows.items():
            if datetime.fromisoformat(row["updated_at"]) >= cutoff or end_of(month) > cutoff:
                self._world.checks.complain(f"retention: {month} goes, and {order_id} is in it, which was to stay")

    def on_late_status(self, order_id: UUID) -> None:
        self._late.add(str(order_id))

    def is_done(self, place: Place, order_id: UUID, value: bytes | None) -> None:
        """Its offset is committed without a letter: a repeat, which changes nothing, or a turn on `orders-retry`."""
        row = msgspec.convert(self._dropping.gone[str(order_id)], Row, strict=False)
        if value is None or row.fingerprint == FORGOTTEN:
            return
        if amount_of(value) != row.amount:
            self._world.checks.complain(
                f"I3: {place} is committed: a conflict with {order_id}, which went, and no letter"
            )
        elif order_id not in self._world.checks.evidence.marked:
            self._world.checks.complain(f"I3: {place} is committed: {order_id} went unseen, and no letter says so")

    # -- at the end

    def look(self) -> None:
        if not self._past:
            return
        self._look_at_statuses()
        for old in self._past:
            self._look_at_old(old)
        if self._dropping.was_done:
            self._look_at_months()

    def _look_at_statuses(self) -> None:
        """Wherever they stand: growth moves homes."""
        standing: defaultdict[str, list[bytes]] = defaultdict(list)
        for log in self._world.broker.topics[self._world.topic(ORDER_STATUS)].values():
            for key, value in {record.key: record.value for record in log.records()}.items():
                if value is not None:
                    standing[key.decode()].append(value)
        for order_id in self._dropping.gone:
            is_told = self._is_published(order_id) and order_id not in self._late
            if self.is_gone(order_id) and is_told and standing[order_id]:
                self._world.checks.complain(f"retention: order {order_id} went with its month, and its status stands")

    def _is_published(self, order_id: str) -> bool:
        """Whether `retention` has said that its tombstone is there."""
        dropped = self._dropping.months.get(month_of(self._dropping.gone[order_id]))
        return dropped is not None and dropped.published_at is not None

    def _look_at_old(self, old: Old) -> None:
        order_id = str(old.row.order_id)
        row = self._world.checks.row(old.row.order_id)
        if row is None:
            if not self.was_gone(order_id):
                self._world.checks.complain(f"retention: order {order_id} of {old.row.created_at:%Y-%m} is lost")
        elif not self.was_gone(order_id) and row.fingerprint != FORGOTTEN and row != old.row:
            self._world.checks.complain(f"retention: order {order_id} was decided long ago, and is another now")
        elif self.came_back_unseen(old.row.order_id):
            return
        elif self._world.checks.evidence.last.get(old.row.order_id) != encode_status(row):
            self._world.checks.complain(f"I2: the last status of {order_id} is not its row")
        if row is not None and order_id not in self._world.postgres.keys:
            self._world.checks.complain(f"retention: the id of {order_id} is gone, and its row is there")

    def _look_at_months(self) -> None:
        """None is left that was to go."""
        server, settings = self._world.postgres, self._world.workers[0].settings
        now = datetime.fromisoformat(moment())
        cutoff = months_before(now, settings.retention_months)
        for month in server.months.attached:
            rows: list[dict[str, Any]] = [row for row in server.rows.values() if month_of(row) == month]
            if (
                end_of(month) <= cutoff
                and rows
                and all(datetime.fromisoformat(row["updated_at"]) < cutoff for row in rows)
            ):
                self._world.checks.complain(f"retention: {month} is old, and still there")
        for order_id in server.keys:
            dropped = self._dropping.months.get(month_of(server.keys[order_id]))
            limit = months_before(now, settings.retention_keys_months)
            is_passed_over = order_id in server.rows or order_id in self._dropping.passed_over
            if not is_passed_over and dropped and dropped.dropped_at and dropped.dropped_at <= limit:
                self._world.checks.complain(f"retention: the id of {order_id} was to go, and is there")
