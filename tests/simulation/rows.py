"""What PostgreSQL's statements do to the rows of the model: those of creditstream/store/sql/queries.sql."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from creditstream.store.queries import query
from schemas.decision import FOR_A_PERSON, WAITING
from tests.simulation.clocks import BEGINNING, now

#: The statement's condition, by which *waiting* only ever makes a row.
_ONLY_INSERTS = "given.reason <> 'waiting_for_risk'"
_GIVEN = ("status", "score", "reason", "reasons", "model_version", "policy_version")
_OF_ORDER = ("order_id", "customer_id", "amount", "term_months", "product", "created_at")
Row = dict[str, Any]
Rows = dict[str, Row]
"""By order's id."""
#: The statement's condition, by which *waiting* only ever makes a row.
_ONLY_INSERTS = "given.reason <> 'waiting_for_risk'"


def claim(rows: Rows, batch: Sequence[Row]) -> list[Row]:
    """The rows of the orders that were new."""
    made = []
    for given in batch:
        if given["order_id"] in rows:
            continue
        row = {key: given[key] for key in (*_OF_ORDER, *_GIVEN)}
        row |= {"updated_at": moment(), "version": 1, "fingerprint": given["fingerprint"]}
        rows[given["order_id"]] = row
        made.append(row)
    return made


def settle(rows: Rows, batch: Sequence[Row]) -> list[Row]:
    """The rows that stand then, changed or not."""
    for given in batch:
        row = rows.get(given["order_id"])
        if row is None or row["fingerprint"] != given["fingerprint"] or not _gives_way(row, given):
            continue
        changes = {key: given[key] for key in _GIVEN}
        rows[given["order_id"]] = row | changes | {"updated_at": moment(), "version": row["version"] + 1}
    return [rows[given["order_id"]] for given in batch if given["order_id"] in rows]


def told(rows: Iterable[Row]) -> str:
    """As the statements answer them."""
    return json.dumps(list(rows))


def _gives_way(row: Row, given: Row) -> bool:
    if row["status"] != "under_review":
        return False
    if given["reason"] == WAITING.reason and _ONLY_INSERTS in query("settle_orders"):
        return False
    if row["reason"] in FOR_A_PERSON:
        return bool(row["version"] == given["replaces"])
    return (row["status"], row["reason"]) != (given["status"], given["reason"])


def moment() -> str:
    return datetime.fromtimestamp(BEGINNING + now.seconds, UTC).isoformat()
