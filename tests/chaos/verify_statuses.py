"""PURE: `order-status` as it was written, record by record, against the committed rows."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Books, Logged, Verdict

DECIDED = ("approved", "rejected")
#: What stands in place of the customer's id once he is forgotten (docs/how-to/erase-a-customer.md).
FORGOTTEN_CUSTOMER = "[forgotten]"
_PUBLISHED = (
    *("order_id", "customer_id", "amount", "term_months", "product", "status", "score", "reason"),
    *("model_version", "policy_version", "created_at", "updated_at", "version"),
)
#: What `forget` changes of a state.
CHANGED_BY_FORGET = ("customer_id", "updated_at", "version")
Fault = tuple[str, str]


def check_statuses(
    verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]], forgotten: Collection[UUID]
) -> None:
    """I2 and I4. `forgotten`: orders of customers who were forgotten."""
    histories: dict[bytes, list[Logged]] = defaultdict(list)
    for record in sorted(books.statuses, key=lambda record: (record.era, record.partition, record.offset)):
        histories[record.key or b""].append(record)
    for key, history in histories.items():
        for fault, what in _key_faults(key, history, books, rows, forgotten):
            verdict.fault(fault, f"{key.decode(errors='replace')}: {what}")
    for order_id in rows:
        if str(order_id).encode() not in histories:
            verdict.fault("divergent", f"{order_id}: the row was never published")


def _key_faults(
    key: bytes,
    history: list[Logged],
    books: Books,
    rows: Mapping[UUID, Mapping[str, Any]],
    forgotten: Collection[UUID],
) -> Iterator[Fault]:
    try:
        order_id = UUID(key.decode())
        states = [json.loads(record.value) for record in history if record.value is not None]
    except ValueError:
        yield "divergent", f"no status record at {where('order-status', history[0][:2])}"
        return
    yield from _place_faults(history, books.begins)
    if order_id in books.purpose.dropped:
        yield from _dropped_faults(history, states, books.begins)
        return
    row = rows.get(order_id)
    if row is None:
        yield "orphans", "a status without a committed row"
    elif len(states) < len(history):
        yield "divergent", "a tombstone for an order that was not dropped"
    elif not _standing(history, books.begins):
        yield "lost", "growth removed its status and left none"
    else:
        yield from _state_faults(history, states, row, CHANGED_BY_FORGET if order_id in forgotten else ())


def _place_faults(history: list[Logged], begins: Mapping[int, int]) -> Iterator[Fault]:
    """Growth moves a key, and the last record of what there is must stand: a reader from the beginning sees it."""
    places = {(record.era, record.partition) for record in history}
    if len(places) > len({era for era, _ in places}) or len({r.partition for r in _standing(history, begins)}) > 1:
        yield "divergent", "status records on two partitions"


def _standing(history: list[Logged], begins: Mapping[int, int]) -> list[Logged]:
    return [record for record in history if record.offset >= begins.get(record.partition, 0)]


def _dropped_faults(history: list[Logged], states: list[dict[str, Any]], begins: Mapping[int, int]) -> Iterator[Fault]:
    """An order whose month is gone: its tombstone is the last word, whether it still stands or growth took it along."""
    standing = _standing(history, begins)
    if history[-1].value is not None or (standing and standing[-1].value is not None):
        yield "orphans", "the order was dropped, and its status stands"
    if len({canonical(state, ("updated_at",)) for state in states if state["status"] in DECIDED}) > 1:
        yield "duplicated", "different decisions published of an order that was dropped"


def _state_faults(
    history: list[Logged], states: list[dict[str, Any]], row: Mapping[str, Any], ignored: tuple[str, ...]
) -> Iterator[Fault]:
    decisions = {canonical(state, ignored) for state in states if state["status"] in DECIDED}
    if len(decisions) > 1:
        yield "duplicated", f"{len(decisions)} different decisions published"
    yield from _version_faults(history, states)
    published, committed = states[-1], {name: row[name] for name in _PUBLISHED}
    wrong = [name for name in committed.keys() | published.keys() if committed.get(name) != _typed(published, name)]
    if wrong:
        yield "divergent", f"the row and the last status differ in {', '.join(sorted(wrong))}"


def _version_faults(history: list[Logged], states: list[dict[str, Any]]) -> Iterator[Fault]:
    newest, contents = 0, dict[int, str]()
    for record, state in zip(history, states, strict=True):
        version = state["version"]
        if version < newest:
            yield "version_back", f"version {version} after {newest} at {where('order-status', record[:2])}"
        if contents.setdefault(version, canonical(state)) != canonical(state):
            yield "divergent", f"two contents of version {version}"
        newest = max(newest, version)


def _typed(state: Mapping[str, Any], name: str) -> Any:
    """The published field in the row's type."""
    value = state.get(name)
    match name:
        case "order_id":
            return UUID(value)
        case "amount":
            return Decimal(str(value))
        case "created_at" | "updated_at":
            return datetime.fromisoformat(str(value))
    return value


def canonical(state: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    return json.dumps({name: value for name, value in state.items() if name not in without}, sort_keys=True)


def where(topic: str, place: tuple[Any, ...] | None) -> str:
    return f"{topic}[{place[0]}]@{place[1]}" if place else topic
