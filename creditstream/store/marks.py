"""What this worker knows to be committed, and with each statement asks whether it still is (docs/adr/0027)."""

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from uuid import UUID, uuid4

from creditstream.order.ports import Mark
from creditstream.store.errors import TAKEN_BACK
from schemas.status import Row


class Marks:
    """Of the store. What PostgreSQL loses is always the end of its log: the last commit of each kind is enough."""

    def __init__(self) -> None:
        #: The last row that was answered, by the statement: of those that it looked up, the newest.
        self._last: dict[str, Mark] = {}
        #: What was known before the first answer.
        self._given: list[Mark] = []
        self._report: UUID | None = None
        #: Why nothing can be committed until `restore` has run, or empty.
        self.problem = ""
        #: As it was asked last; None: something was given since.
        self._told: tuple[list[Mark], str] | None = None

    def expect(self, marks: Iterable[Mark]) -> None:
        """From outside: what was published, and what `seen` holds."""
        self._given += marks
        self._told = None

    def answered(self, statement: str, rows: Sequence[Row]) -> None:
        """A claim's rows are all of one transaction, and the last one that this worker made."""
        if not rows:
            return
        row = rows[0] if statement == "claim_orders" else max(rows, key=lambda row: row.updated_at)
        last = self._last.get(statement)
        if statement == "claim_orders" or last is None or last.updated_at is None or last.updated_at < row.updated_at:
            self._last[statement] = Mark(row.order_id, row.created_at, row.version, row.updated_at)

    def parameters(self) -> dict[str, object]:
        """For `require_commits`."""
        marks = [*self._last.values(), *self._given]
        if self._told is None or marks != self._told[0]:
            self._told = marks, as_json(marks)
        return {"marks": self._told[1], "report": self._report and str(self._report)}

    def passed(self, asked: dict[str, object]) -> None:
        """The statement that was asked with these went through: all is there, or was brought back as far as it can."""
        self.problem = ""
        if asked["report"] and asked["report"] == str(self._report):
            self._report = None
            self._last.clear()
            self._given.clear()
        elif self._told and asked["marks"] == self._told[1]:
            self._keep_newest()

    def _keep_newest(self) -> None:
        """Whoever committed it may be dead, and it may be lost later."""
        written = [(mark.updated_at, mark) for mark in self._given if mark.updated_at is not None]
        if written:
            self._last["published"] = max(written, key=itemgetter(0))[1]
        self._given.clear()

    def failed(self) -> None:
        """Something is missing, or another worker has said so."""
        self.problem = TAKEN_BACK

    def report(self) -> dict[str, object]:
        """For `report_taken_back`."""
        self._report = self._report or uuid4()
        return self.parameters()

    def withdraw(self) -> None:
        """Nothing is missing."""
        self._report = None


def as_json(marks: Iterable[Mark]) -> str:
    """As the statements read them."""
    return json.dumps([_told(mark) for mark in marks])


def _told(mark: Mark) -> dict[str, object]:
    times = {"created_at": mark.created_at, "updated_at": mark.updated_at, "removed_at": mark.removed_at}
    told = {name: time.isoformat() for name, time in times.items() if time is not None}
    return {"order_id": str(mark.order_id), "version": mark.version, **told}
