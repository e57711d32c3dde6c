"""The model of PostgreSQL for `retention`: the statements that it names, and those changes of the schema they give."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg2 import errors as driver

from schemas.decision import FOR_A_PERSON
from tests.simulation.months import begin_of, end_of, month_of, table_of
from tests.simulation.postgres import Server
from tests.simulation.rows import Row, Rows, moment

#: Of an operator's session, in seconds.
_LOCK_TIMEOUT = 1.0
Given = Mapping[str, Any]


@dataclass
class Dropped:
    """A row of `dropped_months`."""

    partition: int
    is_begun: bool = True
    dropped_at: datetime | None = None
    published_at: datetime | None = None
    begun_at: datetime | None = None


class Dropping:
    """Attached to the server; told of by their names, as `Server.others`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.months: dict[str, Dropped] = {}
        #: Rows that went with their month, as they were.
        self.gone: Rows = {}
        #: Told of a month, and of the rows that go with it.
        self.on_drop: Callable[[str, Rows], None] = lambda _month, _rows: None
        #: By table, rows of a month that is detached and not dropped yet.
        self._aside: dict[int, Rows] = {}
        #: A session of `retention` is at work.
        self.is_at_work = False
        #: Ids that were to go, and that a worker had locked: the next run has them.
        self.passed_over: set[str] = set()
        #: Whether one run has come to its end.
        self.was_done = False
        server.may_come_back, server.goes = self._may_come_back, self._goes
        names = "expired_months begin_drop begun_months begun_drops other_tables detach_statement set_aside keep_month"
        names += " drop_statement end_drop removed_orders unpublished_months end_publishing expired_key_months"
        names += " delete_keys count_keys now alter drop"
        server.others |= {name: getattr(self, name) for name in names.split()}

    def is_gone(self, order_id: str) -> bool:
        """Whether its row went with its month, and it has no other since."""
        return order_id in self.gone and order_id not in self._server.rows

    def row(self, order_id: str) -> Row | None:
        """That is committed, also while its month is detached: whether it goes is open then."""
        rows = (self._server.rows, *self._aside.values())
        return next((each[order_id] for each in rows if order_id in each), None)

    # -- statements, by their names

    async def now(self, _given: Given) -> str:
        return _now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def expired_months(self, given: Given) -> str:
        months = self._server.months
        wholly_before = [each for each in sorted(months.attached) if end_of(each) <= given["cutoff"]]
        found = [each for each in wholly_before if each not in months.pending]
        return json.dumps([_counts(month, self._rows_of(month), given["cutoff"]) for month in found])

    async def begin_drop(self, given: Given) -> int:
        month = given["month"][:7]
        number, known = self._server.months.number_of(month), self.months.get(month)
        if number is None:
            raise driver.NotNullViolation
        self.months[month] = replace(known or Dropped(number), partition=number, is_begun=True, begun_at=_now())
        return 1

    async def begun_months(self, _given: Given) -> str:
        return json.dumps([_first(each) for each in sorted(self.months) if self.months[each].is_begun])

    async def begun_drops(self, _given: Given) -> int:
        return sum(each.is_begun for each in self.months.values())

    async def other_tables(self, _given: Given) -> None:
        """Nobody restores a dump."""

    async def detach_statement(self, given: Given) -> str | None:
        month, months = given["month"][:7], self._server.months
        if month not in self.months or months.attached.get(month) != self.months[month].partition:
            return None
        return f"ALTER TABLE orders DETACH PARTITION {table_of(month)}" + (
            " FINALIZE" if month in months.pending else " CONCURRENTLY"
        )

    async def alter(self, given: Given) -> None:
        """Over in two steps, and left in the middle if somebody keeps `orders` open."""
        month = _month_in(given["statement"])
        self._server.months.pending.add(month)
        if not await self._server.months.until_unused(_LOCK_TIMEOUT):
            raise driver.LockNotAvailable
        self._aside[self.months[month].partition] = self._server.months.end_detach(month, self._server.rows)

    async def set_aside(self, given: Given) -> None:
        month = given["month"][:7]
        self._server.months.set_aside(self.months[month].partition, month)

    async def keep_month(self, given: Given) -> int:
        """At once: nobody writes to the table any more, and the rows are counted as they are put back."""
        month, months = given["month"][:7], self._server.months
        known = self.months[month]
        rows = self._aside.get(known.partition, {})
        written = len([row for row in rows.values() if datetime.fromisoformat(row["updated_at"]) >= given["cutoff"]])
        if written:
            self._server.rows |= self._aside.pop(known.partition)
            months.attach_again(known.partition, month)
            if known.dropped_at:
                self.months[month] = replace(known, is_begun=False, begun_at=None)
            else:
                del self.months[month]
        return written

    async def drop_statement(self, given: Given) -> str | None:
        dropped = self.months.get(given["month"][:7])
        name = dropped and self._server.months.detached.get(dropped.partition)
        return f"DROP TABLE {name}" if name else None

    async def drop(self, given: Given) -> None:
        detached = self._server.months.detached
        for number in [number for number, name in detached.items() if given["statement"].endswith(f" {name}")]:
            del detached[number]
            rows = self._aside.pop(number, {})
            self.gone |= rows
            for month in sorted({month_of(row) for row in rows.values()}):
                self.on_drop(month, rows)

    async def end_drop(self, given: Given) -> int:
        month = given["month"][:7]
        self.months[month] = replace(
            Dropped(self.months[month].partition, is_begun=False, dropped_at=_now()),
            begun_at=self.months[month].begun_at,
        )
        return 1

    async def unpublished_months(self, _given: Given) -> int:
        return sum(bool(each.dropped_at and not (each.published_at or each.is_begun)) for each in self.months.values())

    async def removed_orders(self, given: Given) -> str:
        page, upto = self._page(given), datetime.fromisoformat(given["upto"])

        def is_due(known: Dropped) -> bool:
            is_told = known.published_at or known.is_begun
            return bool(known.dropped_at and known.dropped_at <= upto and not is_told)

        return json.dumps({"last": max(page, default=None), "ids": self._without_row(page, is_due)})

    async def end_publishing(self, given: Given) -> int:
        upto, ended = datetime.fromisoformat(given["upto"]), 0
        for each in self.months.values():
            if each.dropped_at and each.dropped_at <= upto and not (each.published_at or each.is_begun):
                each.published_at, ended = _now(), ended + 1
        return ended

    async def expired_key_months(self, given: Given) -> int:
        return sum(_is_over(each, given) for each in self.months.values())

    async def delete_keys(self, given: Given) -> str:
        """Ids that a worker has locked are passed over."""
        page, held = self._page(given), self._server.locked_ids()
        expired = set(self._without_row(page, lambda known: _is_over(known, given)))
        self.passed_over |= expired & held
        deleted = expired - held
        for order_id in deleted:
            del self._server.keys[order_id]
        return json.dumps({"last": max(page, default=None), "deleted": len(deleted)})

    async def count_keys(self, _given: Given) -> int:
        return len(self._server.keys)

    # -- what workers' statements look at

    def _may_come_back(self, month: str) -> bool:
        known = self.months.get(month)
        if known is None:
            return False
        is_there = known.partition in self._aside or month in self._server.months.pending
        return known.is_begun and is_there

    def _goes(self, month: str) -> bool:
        months, known = self._server.months, self.months.get(month)
        is_begun = known is not None and known.is_begun and known.partition in months.detached
        return month in months.pending or (is_begun and self.is_at_work)

    # -- what they look at

    def _rows_of(self, month: str) -> list[Row]:
        rows = self._server.months.visible(self._server.rows)
        return [row for row in rows.values() if month_of(row) == month]

    def _page(self, given: Given) -> list[str]:
        return [each for each in sorted(self._server.keys) if each > given["after"]][: given["limit"]]

    def _without_row(self, ids: Iterable[str], is_wanted: Callable[[Dropped], bool]) -> list[str]:
        """Of a dropped month that is wanted, and no row is seen of it."""
        rows = self._server.months.visible(self._server.rows)
        wanted = {month for month, dropped in self.months.items() if is_wanted(dropped)}
        return [each for each in ids if each not in rows and month_of(self._server.keys[each]) in wanted]


def _counts(month: str, rows: list[Row], cutoff: datetime) -> dict[str, Any]:
    waiting = [row for row in rows if row["status"] == "under_review"]
    for_a_person = [row for row in waiting if row["reason"] in FOR_A_PERSON]
    return {
        "month": _first(month),
        "orders": len(rows),
        "recent": sum(datetime.fromisoformat(row["updated_at"]) >= cutoff for row in rows),
        "for_a_person": len(for_a_person),
        "undecided": len(waiting) - len(for_a_person),
    }


def _is_over(dropped: Dropped, given: Given) -> bool:
    is_told = bool(dropped.published_at) and not dropped.is_begun
    return bool(is_told and dropped.dropped_at and dropped.dropped_at <= given["cutoff"])


def _first(month: str) -> str:
    return begin_of(month).strftime("%Y-%m-%dT%H:%M:%SZ")


def _month_in(statement: str) -> str:
    found = re.search(r" orders_(\d{4})_(\d\d) ", statement)
    assert found
    return f"{found[1]}-{found[2]}"


def _now() -> datetime:
    return datetime.fromisoformat(moment()).astimezone(UTC)
