"""The model of PostgreSQL loses its last commits; what its statements say of it, and those of `restore`."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from creditstream.errors import StoreTakenBack
from creditstream.store.errors import TAKEN_BACK
from schemas.status import Row
from tests.simulation.clocks import now
from tests.simulation.months import month_of
from tests.simulation.postgres import Server, ids_of
from tests.simulation.rows import Row as Held

Given = Mapping[str, Any]
Before = dict[str, tuple[Held | None, Held | None]]
"""By order's id: its row and its key as they were."""
#: What moves or removes rows by the month, or ids: what came before is not lost any more.
_BARRIERS = ("alter", "keep_month", "drop", "delete_keys")


class Losses:
    """Attached to the server: every change is noted, and the last ones can be lost."""

    def __init__(self, server: Server) -> None:
        self._server = server
        #: Of `taken_back`: whether `restore` has answered.
        self.reports: dict[str, bool] = {}
        self._changes: list[tuple[float, Before]] = []
        #: Rows that were committed and are lost, the newest of each order, until the world ends.
        self.lost: dict[str, Held] = {}
        self.ever_lost: set[str] = set()
        self._restored: set[str] = set()
        self._locks = AsyncExitStack()
        server.on_change, server.require = self._note, self._require
        for name in dir(self):
            if name.startswith("restore_") or name == "report_taken_back":
                server.others[name] = getattr(self, name)
        for name in _BARRIERS:
            server.others[name] = self._barrier(server.others[name])

    def lose(self, since: float) -> None:
        """What was committed after that moment, in virtual seconds. Sessions end."""
        self._server.epoch += 1
        while self._changes and self._changes[-1][0] > since:
            _, before = self._changes.pop()
            for order_id, (row, key) in before.items():
                self._lose_one(order_id, row, key)

    def was_lost(self, order_id: UUID) -> Row | None:
        """Its row at that time."""
        found = self.lost.get(str(order_id))
        return None if found is None else msgspec.convert(found, Row, strict=False)

    def _lose_one(self, order_id: str, row: Held | None, key: Held | None) -> None:
        rows, keys = self._server.rows, self._server.keys
        gone = rows.pop(order_id, None)
        if gone is not None and gone["version"] >= self.lost.get(order_id, gone)["version"]:
            self.lost[order_id] = gone
            self.ever_lost.add(order_id)
        keys.pop(order_id, None)
        if row is not None:
            rows[order_id] = row
        if key is not None:
            keys[order_id] = key

    def _note(self, before: Before) -> None:
        self._changes.append((now.seconds, before))

    def _barrier(self, statement: Callable[[Given], Awaitable[Any]]) -> Callable[[Given], Awaitable[Any]]:
        async def run(given: Given) -> Any:
            self._changes.clear()
            answer = await statement(given)
            self._changes.clear()
            return answer

        return run

    # -- what workers ask with each statement

    def _require(self, given: Given) -> None:
        if not all(self.reports.values()) or (given["report"] not in self.reports and self._are_missing(given)):
            raise StoreTakenBack(TAKEN_BACK)

    def _are_missing(self, given: Given) -> bool:
        return any(map(self._is_missing, json.loads(given["marks"])))

    def _is_missing(self, mark: dict[str, Any]) -> bool:
        order_id = mark["order_id"]
        row, key = self._server.rows.get(order_id), self._server.keys.get(order_id)
        if "removed_at" in mark:
            return row is not None and _time(row) < datetime.fromisoformat(mark["removed_at"])
        if row is not None:
            same = row["version"] == mark["version"] and "updated_at" in mark
            return not (row["version"] > mark["version"] or (same and _time(row) == _time(mark)))
        if key is not None or "created_at" not in mark:
            return key is None
        dropped_at = self._server.dropped_at(month_of(mark))
        return dropped_at is None or ("updated_at" in mark and datetime.fromisoformat(dropped_at) < _time(mark))

    async def report_taken_back(self, given: Given) -> bool:
        if self._are_missing(given):
            self.reports.setdefault(given["report"], False)
        return given["report"] in self.reports

    async def unlock(self) -> None:
        """The session of `restore` is over."""
        await self._locks.aclose()

    # -- statements of `restore`

    async def restore_reports(self, _given: Given) -> str:
        return json.dumps([each for each, is_answered in self.reports.items() if not is_answered])

    async def restore_stop_workers(self, given: Given) -> int:
        self.reports[given["report"]] = False
        return 1

    async def restore_dropped(self, _given: Given) -> str:
        return json.dumps(self._server.gone_since())

    async def restore_look(self, given: Given) -> str:
        return json.dumps(self._here(ids_of(given["ids"])))

    async def restore_month(self, given: Given) -> bool:
        return self._server.months.make(given["month"][:7])

    async def restore_lock(self, given: Given) -> str:
        ids = ids_of(given["ids"])
        await self._locks.enter_async_context(self._server.locked(ids))
        here = self._here(ids)
        return json.dumps(here | {"made": [each for each in ids if each not in self._server.keys]})

    async def restore_write(self, given: Given) -> int:
        rows = json.loads(given["batch"])
        self._note({each["order_id"]: self._now(each["order_id"]) for each in rows})
        for given_row in rows:
            order_id = given_row["order_id"]
            beside = ("was_lacking", "has_metadata", "has_reasons")
            self._server.rows[order_id] = {name: value for name, value in given_row.items() if name not in beside}
            self._server.keys[order_id] = {name: given_row[name] for name in ("created_at", "fingerprint")}
            self._restored.add(order_id)
        return 1

    async def restore_commit(self, _given: Given) -> int:
        await self._locks.aclose()
        return 1

    async def restore_roll_back(self, _given: Given) -> int:
        await self._locks.aclose()
        return 1

    async def restore_remove(self, given: Given) -> int:
        batch = [each for each in json.loads(given["batch"]) if each["order_id"] in self._server.rows]
        self._note({each["order_id"]: self._now(each["order_id"]) for each in batch})
        for each in batch:
            del self._server.rows[each["order_id"]]
        return len(batch)

    async def restore_lacks_metadata(self, _given: Given) -> bool:
        return False

    async def restore_counts(self, _given: Given) -> str:
        return json.dumps({"restored": len(self._restored), "newer": 0, "no_metadata": 0, "no_reasons": 0})

    async def restore_end(self, given: Given) -> int:
        self._restored.clear()
        self.reports |= dict.fromkeys(filter(None, ids_of(given["reports"])), True)
        return 1

    def _now(self, order_id: str) -> tuple[Held | None, Held | None]:
        return self._server.rows.get(order_id), self._server.keys.get(order_id)

    def _here(self, ids: list[str]) -> dict[str, Any]:
        rows = self._server.months.visible(self._server.rows)
        went = [each for each in ids if each in self._server.keys and each not in rows]
        gone = {each: self._server.dropped_at(month_of(self._server.keys[each])) for each in went}
        return {"rows": [rows[each] for each in ids if each in rows], "gone": gone}


def _time(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["updated_at"])
