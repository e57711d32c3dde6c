"""Faults that show when PostgreSQL was taken back, as patches of the product's code."""

from typing import Any

import creditstream.operations.restore.restoring
import creditstream.worker.assembly
import creditstream.worker.runtime
from creditstream.operations.restore.judge import Verdict
from creditstream.operations.restore.topic import pages
from creditstream.order.flight import Flight
from creditstream.order.ports import Refused
from creditstream.order.scoring import Scoring
from creditstream.store.marks import Marks
from schemas.status import Row, StatusRecord
from tests.chaos.put_in import put_in

_GONE = Refused("row_removed", "gone")


def seen_outranks_the_truth() -> None:
    """What is not in PostgreSQL, and `seen` holds, is a duplicate all the same."""

    def miss(self: Scoring, flight: Flight) -> None:
        flight.is_repeat, flight.refused = True, True
        self._settlement.add_committed(flight, _GONE)

    put_in(Scoring, "_miss", miss)


def nobody_asks_what_is_missing() -> None:
    """Workers commit to whatever PostgreSQL there is."""

    def parameters(_self: Marks) -> dict[str, object]:
        return {"marks": "[]", "report": None}

    put_in(Marks, "parameters", parameters)


def a_start_asks_for_nothing() -> None:
    """A worker that starts knows nothing of what was published; nor does one that goes on, of what it committed."""

    async def nothing(_settings: object, _partitions: object = None) -> list[Any]:
        return []

    put_in(creditstream.worker.assembly, "last_published", nothing)
    put_in(creditstream.worker.runtime, "last_published", nothing)
    put_in(Marks, "answered", lambda _self, _statement, _rows: None)


def restore_brings_back_what_is_lacking_alone() -> None:
    """Rows that are older than what was published stay as they are."""

    def judged(_told: StatusRecord, held: Row | None) -> Verdict:
        return "write" if held is None else "keep"

    put_in(creditstream.operations.restore.restoring, "judged", judged)


def restore_forgets_the_forgotten() -> None:
    """Customers come back from what was published first."""

    def without(records: Any) -> Any:
        for page in pages(records):
            yield {each: told for each, told in page.items() if getattr(told, "customer_id", "") != "[forgotten]"}

    put_in(creditstream.operations.restore.restoring, "pages", without)
