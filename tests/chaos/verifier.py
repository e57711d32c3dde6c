"""PURE: what was sent against what became of it. Shares no code with the pipeline: its own JSON, its own content."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from tests.chaos.evidence import NO_FILE, NO_USABLE_ANSWER, Allowed, Books, Logged, Policies, Purpose, Verdict
from tests.chaos.verify_calls import check_calls
from tests.chaos.verify_decisions import check_decisions, read_policies
from tests.chaos.verify_letters import outcome_of_conflict, outcome_of_malformed, reasons_of
from tests.chaos.verify_statuses import DECIDED, FORGOTTEN_CUSTOMER, check_statuses, where

Content = tuple[str, Decimal, int, str, datetime]
Rows = Mapping[UUID, Mapping[str, Any]]


class Known(NamedTuple):
    """What the sender knows: the kind of each value, what each order said first, what was taken away on purpose."""

    kinds: Mapping[bytes, str]
    originals: Mapping[UUID, Content]
    purpose: Purpose

    def is_forgotten(self, order_id: UUID) -> bool:
        original = self.originals.get(order_id)
        return original is not None and original[0] in self.purpose.forgotten

    def names_forgotten(self, value: bytes) -> bool:
        return any(customer.encode() in value for customer in self.purpose.forgotten)


def verify(books: Books, allowed: Allowed | None = None, policies: Policies | None = None) -> Verdict:
    """Compare the books of a pipeline at rest.

    `policies`: what workers decided by, when some were of another version.
    """
    verdict = Verdict(records=len(books.orders))
    rows = {row["order_id"]: row for row in books.rows}
    kinds = {sent.value: sent.kind for sent in books.sent}
    originals = dict(content_of(sent.value) for sent in books.sent if sent.kind == "order")
    known = Known(kinds, originals, books.purpose)
    _check_arrivals(verdict, books)
    _check_outcomes(verdict, books, rows, known)
    _check_rows(verdict, books, known)
    forgotten = {order_id for order_id in rows if known.is_forgotten(order_id)}
    check_statuses(verdict, books, rows, forgotten)
    check_decisions(verdict, books, policies or read_policies())
    check_calls(verdict, books, rows, allowed or Allowed())
    return verdict


def content_of(value: bytes) -> tuple[UUID, Content]:
    """The id and what makes an order another one. Only for values that the sender meant as orders."""
    order = json.loads(value, parse_float=Decimal, parse_int=Decimal)
    created_at = datetime.fromisoformat(order["created_at"]).astimezone(UTC)
    fields = order["customer_id"], Decimal(order["amount"]), int(order["term_months"]), order["product"], created_at
    return UUID(order["order_id"]), fields


def _content_of_row(row: Mapping[str, Any], known: Known) -> Content:
    """A forgotten customer's row is as it was sent but for the customer, whose id must be gone."""
    created_at, customer = row["created_at"].astimezone(UTC), row["customer_id"]
    if known.is_forgotten(row["order_id"]) and customer == FORGOTTEN_CUSTOMER and not row["metadata"]:
        customer = known.originals[row["order_id"]][0]
    return customer, row["amount"], row["term_months"], row["product"], created_at


def _check_arrivals(verdict: Verdict, books: Books) -> None:
    """What Kafka acknowledged is there."""
    there = {(record.partition, record.offset): record.value for record in books.orders}
    values = set(there.values())
    for sent in books.sent:
        if sent.value not in values if sent.place is None else there.get(sent.place) != sent.value:
            verdict.fault("lost", f"{where('orders', sent.place)}: sent and not on the topic")


def _check_outcomes(verdict: Verdict, books: Books, rows: Rows, known: Known) -> None:
    """I1: each record is exactly one of a row, a duplicate of a row, a dead letter."""
    letters: dict[tuple[int, int], list[Logged]] = defaultdict(list)
    for letter in books.letters:
        origin = letter.headers
        place = int(origin.get("x-original-partition", -1)), int(origin.get("x-original-offset", -1))
        letters[place].append(letter)
        if known.names_forgotten(letter.value or b""):
            verdict.fault("misjudged", f"{where('orders', place)}: its letter names a customer who was to be forgotten")
    taken: set[UUID] = set()
    for record in books.orders:
        place = (record.partition, record.offset)
        outcome = _outcome(record, letters.pop(place, []), rows, known, taken)
        if outcome in ("orders", "duplicates", "conflicts", "malformed"):
            setattr(verdict, outcome, getattr(verdict, outcome) + 1)
        else:
            verdict.fault("misjudged" if "letter" in outcome else "lost", f"{where('orders', place)}: {outcome}")
    for place in letters:
        verdict.fault("misjudged", f"{where('orders', place)}: a letter for a record that is not there")


def _outcome(record: Logged, letters: list[Logged], rows: Rows, known: Known, taken: set[UUID]) -> str:
    """Which of the good outcomes the record has, or in words what is wrong."""
    value = record.value or b""
    kind = known.kinds.get(value)
    if not all(_is_letter_of(letter, record, known) for letter in letters):
        return "its dead letter has other bytes"
    if kind is None:
        return "nobody sent it"
    if kind == "malformed":
        return outcome_of_malformed(value, letters)
    order_id, content = content_of(value)
    row, first = rows.get(order_id), order_id not in taken
    if row is None and order_id in known.purpose.dropped:
        taken.add(order_id)
        return _outcome_of_dropped(content == known.originals[order_id], letters, first)
    if row is None:
        return f"order {order_id} has no row"
    if _content_of_row(row, known) != content:
        # Whatever comes with a forgotten order's id is a repeat: its content is not known any more.
        went_unseen = known.is_forgotten(order_id) and content[0] in known.purpose.forgotten
        return outcome_of_conflict(letters, went_unseen, f"the row of {order_id}")
    if letters and row["status"] in DECIDED:
        return f"order {order_id} is decided and has a letter ({', '.join(reasons_of(letters))})"
    if letters and reasons_of(letters) != [row["reason"]]:
        return f"order {order_id} waits for {row['reason']}, and its letter says {', '.join(reasons_of(letters))}"
    taken.add(order_id)
    return "orders" if first else "duplicates"


def _outcome_of_dropped(same: bool, letters: list[Logged], first: bool) -> str:
    """Of an order whose month was dropped on purpose: what came afterwards is a repeat or has a letter that says so."""
    reasons = reasons_of(letters)
    if not same:
        return outcome_of_conflict(letters, False, "an order that was dropped")
    if set(reasons) - {"row_removed"}:
        return f"a repeat of an order that was dropped has a letter ({', '.join(reasons)})"
    return "orders" if first else "duplicates"


def _is_letter_of(letter: Logged, record: Logged, known: Known) -> bool:
    """The record's bytes; or none, when they were blanked to forget somebody who is named in them."""
    if letter.value is None and letter.key is None and known.names_forgotten(record.value or b""):
        return True
    return letter.value == record.value and letter.key == record.key


def _check_rows(verdict: Verdict, books: Books, known: Known) -> None:
    """I2 within PostgreSQL: one key and one row for each id, of an order that was sent."""
    sent = {content_of(value) for value, kind in known.kinds.items() if kind != "malformed"}
    ids = {order_id for order_id, _ in sent}
    keys, rows = Counter(books.keys), Counter(row["order_id"] for row in books.rows)
    for order_id in keys.keys() | rows.keys() | books.purpose.dropped:
        wanted_rows = int(order_id not in books.purpose.dropped)
        wanted_keys = int(order_id not in books.purpose.expired)
        if keys[order_id] > 1 or rows[order_id] > 1:
            verdict.fault("duplicated", f"{order_id}: {keys[order_id]} keys, {rows[order_id]} rows")
        elif (keys[order_id], rows[order_id]) != (wanted_keys, wanted_rows):
            verdict.fault("divergent", f"{order_id}: {keys[order_id]} keys, {rows[order_id]} rows")
    for row in books.rows:
        if row["order_id"] not in ids:
            verdict.fault("divergent", f"{row['order_id']}: a row of an order that nobody sent")
        elif (row["order_id"], _content_of_row(row, known)) not in sent:
            verdict.fault("divergent", f"{row['order_id']}: the row holds what nobody sent")
        elif row["customer_id"] in books.purpose.forgotten:
            verdict.fault("divergent", f"{row['order_id']}: its customer was to be forgotten")
    _check_decided(verdict, books, known)


def _check_decided(verdict: Verdict, books: Books, known: Known) -> None:
    """Every order is decided but those that nobody could score: they wait for a person, and have a letter."""
    told = {
        content_of(letter.value)[0]
        for letter in books.letters
        if letter.value and letter.headers.get("x-error-class") == NO_USABLE_ANSWER
    }
    for row in books.rows:
        order_id, what = row["order_id"], f"{row['order_id']}: {row['status']}, {row['reason']}"
        customer = known.originals[order_id][0] if order_id in known.originals else ""
        if not customer.startswith(NO_FILE):
            if row["status"] not in DECIDED:
                verdict.fault("undecided", what)
        elif (row["status"], row["reason"], row["score"]) != ("under_review", NO_USABLE_ANSWER, None):
            verdict.fault("misjudged", f"{what}, and its customer has no file")
        elif order_id not in told and not known.is_forgotten(order_id):
            verdict.fault("lost", f"{what}, and no letter says so")
