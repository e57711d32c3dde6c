"""The partitions of `orders` in the model of PostgreSQL: made, being detached, and those that are none any more."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.simulation.clocks import BEGINNING

Rows = dict[str, dict[str, Any]]
#: Months from the world's first one on, as workers make them ahead.
_AHEAD = 3


class Months:
    """A month is text, as 2026-11. A table has a number: its name may become another month's."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.attached: dict[str, int] = {}
        #: A detach has begun: statements that begin now do not see its rows, and no second table takes its place.
        self.pending: set[str] = set()
        #: By number, the names of tables that are partitions no more and are not dropped yet.
        self.detached: dict[int, str] = {}
        self._at_work: set[asyncio.Future[None]] = set()
        for _ in range(_AHEAD):
            self.make(_next(max(self.attached)) if self.attached else month_at(BEGINNING))

    def make(self, month: str) -> bool:
        """`ensure_orders_partition`. Whether it was missing."""
        if month in self.attached:
            return False
        for number in list(self.detached):
            self.set_aside(number, month)
        self.attached[month] = next(self._numbers)
        return True

    def set_aside(self, number: int, month: str) -> None:
        """A table that is the month's partition no more gets a name that nobody takes."""
        if self.detached.get(number) == table_of(month):
            self.detached[number] = f"detached_{table_of(month)}_{number}"

    def takes(self, month: str) -> bool:
        """Whether a row can be written."""
        return month in self.attached and month not in self.pending

    def number_of(self, month: str) -> int | None:
        """Of the table that has the month's name, a partition or not."""
        named = [number for number, name in self.detached.items() if name == table_of(month)]
        return self.attached.get(month, named[0] if named else None)

    def visible(self, rows: Rows) -> Rows:
        """What a statement sees that begins now."""
        return seen_without(self.pending, rows) if self.pending else rows

    @asynccontextmanager
    async def used(self) -> AsyncIterator[frozenset[str]]:
        """While a transaction has `orders` open. Gives the months that it does not see."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at_work.add(ended)
        try:
            yield frozenset(self.pending)
        finally:
            self._at_work.discard(ended)
            ended.set_result(None)

    async def until_unused(self, within: float) -> bool:
        """Whether all who have `orders` open now are done with it in time."""
        if not self._at_work:
            return True
        _, late = await asyncio.wait(set(self._at_work), timeout=within)
        return not late

    def attach_again(self, number: int, month: str) -> None:
        """Its rows may go to another partition: one that was made meanwhile."""
        del self.detached[number]
        self.attached.setdefault(month, number)

    def end_detach(self, month: str, rows: Rows) -> Rows:
        """The rows that went with the table."""
        self.pending.discard(month)
        self.detached[self.attached.pop(month)] = table_of(month)
        return {order_id: rows.pop(order_id) for order_id in list(rows) if month_of(rows[order_id]) == month}


def table_of(month: str) -> str:
    return "orders_" + month.replace("-", "_")


def month_of(row: dict[str, Any]) -> str:
    """Of a row, or of an id."""
    return f"{datetime.fromisoformat(row['created_at']).astimezone(UTC):%Y-%m}"


def month_at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m}"


def begin_of(month: str) -> datetime:
    return datetime.fromisoformat(f"{month}-01T00:00:00+00:00")


def end_of(month: str) -> datetime:
    return begin_of(_next(month))


def _next(month: str) -> str:
    return f"{begin_of(month) + timedelta(days=31):%Y-%m}"


def seen_without(hidden: Iterable[str], rows: Rows) -> Rows:
    """The rows of all other months."""
    months = frozenset(hidden)
    return {order_id: row for order_id, row in rows.items() if month_of(row) not in months} if months else rows
