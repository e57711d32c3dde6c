"""What PostgreSQL's statements do to the rows of the model: those of creditstream/store/sql/queries.sql."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from creditstream.store.errors import MissingPartition
from creditstream.store.queries import query
from schemas.decision import FOR_A_PERSON, WAITING
from tests.simulation.clocks import BEGINNING, now
from tests.simulation.months import Months, month_of

_GIVEN = ("status", "score", "reason", "reasons", "model_version", "policy_version")
_OF_ORDER = ("order_id", "customer_id", "amount", "term_months", "product", "created_at")
Row = dict[str, Any]
Rows = dict[str, Row]
"""By order's id."""
Keys = dict[str, Row]
"""`order_keys`, by order's id: when it was created, its fingerprint. An id outlives its row."""
#: The statement's condition, by which *waiting* only ever makes a row.
_ONLY_INSERTS = "given.reason <> 'waiting_for_risk'"


class Tables(Protocol):
    """Of the server."""

    rows: Rows
    keys: Keys
    months: Months


def claim(tables: Tables, batch: Sequence[Row], hidden: frozenset[str]) -> list[Row]:
    """The rows of the orders whose ids were new. Raises MissingPartition, and has done nothing then.

    `hidden`: months that the statement does not see.
    """
    new = [given for given in batch if given["order_id"] not in tables.keys]
    if any(month_of(given) not in tables.months.attached or month_of(given) in hidden for given in new):
        raise MissingPartition("constraint_violation", "no partition for created_at")
    made = []
    for given in new:
        row = {key: given[key] for key in (*_OF_ORDER, *_GIVEN)}
        row |= {"updated_at": moment(), "version": 1, "fingerprint": given["fingerprint"]}
        tables.rows[given["order_id"]] = row
        tables.keys[given["order_id"]] = {key: given[key] for key in ("created_at", "fingerprint")}
        made.append(row)
    return made


def settle(tables: Tables, batch: Sequence[Row], hidden: frozenset[str]) -> list[Row]:
    """The rows that stand then, changed or not; none of an id whose row is gone."""
    rows = tables.rows
    there = [given for given in batch if given["order_id"] in rows and month_of(rows[given["order_id"]]) not in hidden]
    for given in there:
        row, known = rows[given["order_id"]], tables.keys[given["order_id"]]
        if known["fingerprint"] != given["fingerprint"] or not _gives_way(row, given):
            continue
        changes = {key: given[key] for key in _GIVEN}
        rows[given["order_id"]] = row | changes | {"updated_at": moment(), "version": row["version"] + 1}
    return [rows[given["order_id"]] for given in there]


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
