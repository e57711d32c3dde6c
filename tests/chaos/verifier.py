"""PURE: what was sent against what became of it. Shares no code with the pipeline: its own JSON, its own content."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Allowed, Books, Logged, Verdict

_DECIDED = ("approved", "rejected")
Content = tuple[str, Decimal, int, str, datetime]


def verify(books: Books, allowed: Allowed | None = None) -> Verdict:
    """Compare the books of a pipeline at rest."""
    verdict = Verdict(records=len(books.orders))
    rows = {row["order_id"]: row for row in books.rows}
    known = {sent.value: sent.kind for sent in books.sent}
    _check_arrivals(verdict, books)
    _check_outcomes(verdict, books, rows, known)
    _check_rows(verdict, books, known)
    _check_statuses(verdict, books, rows)
    _check_calls(verdict, books, rows, allowed or Allowed())
    return verdict


def content_of(value: bytes) -> tuple[UUID, Content]:
    """The id and what makes an order another one. Only for values that the sender meant as orders."""
    order = json.loads(value, parse_float=Decimal, parse_int=Decimal)
    created_at = datetime.fromisoformat(order["created_at"]).astimezone(UTC)
    fields = order["customer_id"], Decimal(order["amount"]), int(order["term_months"]), order["product"], created_at
    return UUID(order["order_id"]), fields


def _content_of_row(row: Mapping[str, Any]) -> Content:
    created_at = row["created_at"].astimezone(UTC)
    return row["customer_id"], row["amount"], row["term_months"], row["product"], created_at


def _check_arrivals(verdict: Verdict, books: Books) -> None:
    """What Kafka acknowledged is there."""
    there = {(record.partition, record.offset): record.value for record in books.orders}
    values = set(there.values())
    for sent in books.sent:
        if sent.value not in values if sent.place is None else there.get(sent.place) != sent.value:
            verdict.fault("lost", f"{_where('orders', sent.place)}: sent and not on the topic")


def _check_outcomes(
    verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]], known: Mapping[bytes, str]
) -> None:
    """I1: each record is exactly one of a row, a duplicate of a row, a dead letter."""
    letters: dict[tuple[int, int], list[Logged]] = defaultdict(list)
    for letter in books.letters:
        origin = letter.headers
        place = int(origin.get("x-original-partition", -1)), int(origin.get("x-original-offset", -1))
        letters[place].append(letter)
    taken: set[UUID] = set()
    for record in books.orders:
        place = (record.partition, record.offset)
        outcome = _outcome(record, letters.pop(place, []), rows, known, taken)
        if outcome in ("orders", "duplicates", "conflicts", "malformed"):
            setattr(verdict, outcome, getattr(verdict, outcome) + 1)
        else:
            verdict.fault("misjudged" if "letter" in outcome else "lost", f"{_where('orders', place)}: {outcome}")
    for place in letters:
        verdict.fault("misjudged", f"{_where('orders', place)}: a letter for a record that is not there")


def _outcome(
    record: Logged,
    letters: list[Logged],
    rows: Mapping[UUID, Mapping[str, Any]],
    known: Mapping[bytes, str],
    taken: set[UUID],
) -> str:
    """Which of the good outcomes the record has, or in words what is wrong."""
    value = record.value or b""
    kind = known.get(value)
    if any(letter.value != record.value or letter.key != record.key for letter in letters):
        return "its dead letter has other bytes"
    if kind is None:
        return "nobody sent it"
    if kind == "malformed":
        return "malformed" if letters else "no order, and nothing came of it"
    order_id, content = content_of(value)
    row = rows.get(order_id)
    if row is None:
        return f"order {order_id} has no row"
    if _content_of_row(row) != content:
        return "conflicts" if letters else f"contradicts the row of {order_id}, and nothing came of it"
    if letters and row["status"] in _DECIDED:
        return f"order {order_id} is decided and has a letter ({letters[0].headers.get('x-error-class')})"
    first = order_id not in taken
    taken.add(order_id)
    return "orders" if first else "duplicates"


def _check_rows(verdict: Verdict, books: Books, known: Mapping[bytes, str]) -> None:
    """I2 within PostgreSQL: one key and one row for each id, of an order that was sent."""
    sent = {content_of(value) for value, kind in known.items() if kind != "malformed"}
    ids = {order_id for order_id, _ in sent}
    keys, rows = Counter(books.keys), Counter(row["order_id"] for row in books.rows)
    for order_id in keys.keys() | rows.keys():
        if keys[order_id] > 1 or rows[order_id] > 1:
            verdict.fault("duplicated", f"{order_id}: {keys[order_id]} keys, {rows[order_id]} rows")
        elif keys[order_id] != rows[order_id]:
            verdict.fault("divergent", f"{order_id}: {keys[order_id]} keys, {rows[order_id]} rows")
    for row in books.rows:
        if row["order_id"] not in ids:
            verdict.fault("divergent", f"{row['order_id']}: a row of an order that nobody sent")
        elif (row["order_id"], _content_of_row(row)) not in sent:
            verdict.fault("divergent", f"{row['order_id']}: the row holds what nobody sent")
        if row["status"] not in _DECIDED:
            verdict.fault("undecided", f"{row['order_id']}: {row['status']}, {row['reason']}")


def _check_statuses(verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]]) -> None:
    """I2 and I4 on `order-status`, read as it was written, record by record."""
    histories: dict[bytes, list[Logged]] = defaultdict(list)
    for record in sorted(books.statuses, key=lambda record: (record.partition, record.offset)):
        histories[record.key or b""].append(record)
    for key, history in histories.items():
        for fault, what in _history_faults(key, history, rows):
            verdict.fault(fault, f"{key.decode(errors='replace')}: {what}")
    for order_id in rows:
        if str(order_id).encode() not in histories:
            verdict.fault("divergent", f"{order_id}: the row was never published")


def _history_faults(
    key: bytes, history: list[Logged], rows: Mapping[UUID, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    try:
        states = [json.loads(record.value or b"") for record in history]
        row = rows.get(UUID(key.decode()))
    except ValueError:
        yield "divergent", f"no status record at {_where('order-status', history[0][:2])}"
        return
    if row is None:
        yield "orphans", "a status without a committed row"
        return
    if len({record.partition for record in history}) > 1:
        yield "divergent", "status records on two partitions"
    decisions = {_canonical(state) for state in states if state["status"] in _DECIDED}
    if len(decisions) > 1:
        yield "duplicated", f"{len(decisions)} different decisions published"
    yield from _version_faults(history, states)
    published, committed = states[-1], _as_published(row)
    wrong = [name for name in committed.keys() | published.keys() if committed.get(name) != _typed(published, name)]
    if wrong:
        yield "divergent", f"the row and the last status differ in {', '.join(sorted(wrong))}"


def _version_faults(history: list[Logged], states: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    newest, contents = 0, dict[int, str]()
    for record, state in zip(history, states, strict=True):
        version = state["version"]
        if version < newest:
            yield "version_back", f"version {version} after {newest} at {_where('order-status', record[:2])}"
        if contents.setdefault(version, _canonical(state)) != _canonical(state):
            yield "divergent", f"two contents of version {version}"
        newest = max(newest, version)


def _check_calls(verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]], allowed: Allowed) -> None:
    """I6, and that a row's score is one that the API gave for this order."""
    for key, calls in books.calls.items():
        scored = [call for call in calls if call.score is not None]
        sure = [call for call in scored if not any(since <= call.at <= until for since, until in allowed.lost_answers)]
        verdict.extra_calls += max(0, len(sure) - 1)
        row = rows.get(UUID(key))
        if row is not None and row["score"] is not None and row["score"] not in {call.score for call in scored}:
            verdict.fault("divergent", f"{key}: the score {row['score']} was never given")
    verdict.allowed_calls = allowed.calls
    if verdict.extra_calls > allowed.calls:
        verdict.fault(
            "excess_calls", f"{verdict.extra_calls} calls for orders that had a score, {allowed.calls} allowed"
        )
    for order_id, row in rows.items():
        if row["score"] is not None and str(order_id) not in books.calls:
            verdict.fault("divergent", f"{order_id}: scored and the risk API was never asked")


_PUBLISHED = (
    *("order_id", "customer_id", "amount", "term_months", "product", "status", "score", "reason"),
    *("model_version", "policy_version", "created_at", "updated_at", "version"),
)


def _as_published(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _PUBLISHED}


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


def _canonical(state: Mapping[str, Any]) -> str:
    return json.dumps(state, sort_keys=True)


def _where(topic: str, place: tuple[Any, ...] | None) -> str:
    return f"{topic}[{place[0]}]@{place[1]}" if place else topic
