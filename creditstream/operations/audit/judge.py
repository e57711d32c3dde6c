"""PURE: what is amiss with one order, by all that is known of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from creditstream.operations.audit.entries import OrderFacts, RowFacts, StatusFacts
from creditstream.operations.audit.places import Places
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE
from schemas.status import FORGOTTEN, same_content

#: Reasons of dead letters about an order that has a row.
LETTERS_OF_ROWS = frozenset({"conflict", RISK_UNAVAILABLE, *FOR_A_PERSON})
#: Of those, the ones about the row's own order. Until 0.1 `risk_unavailable` was one of them.
LETTERS_OF_WAITING = LETTERS_OF_ROWS - {"conflict"}


class Fault(NamedTuple):
    """`kind` is lost, duplicated or divergent; `where` an order's id or a place; of how many `records`."""

    kind: str
    what: str
    where: str
    records: int = 1


@dataclass(frozen=True)
class Evidence:
    """What is known of all orders at one moment. Everything in it was read after `passed` was."""

    letters: Places
    #: Records of `orders` that were sent on to their home partition, where the group has not passed them.
    forwarded: Places
    #: The group's committed offset of each partition of `orders`; None: it has passed everything (of tests).
    passed: Mapping[int, int] | None
    now_ms: int
    #: Orders that a `forget` or a `retention` which is at work now has changed and not published.
    being_published: frozenset[bytes] = frozenset()

    def is_passed(self, partition: int, offset: int) -> bool:
        """Whether the group is done with a record of `orders`, wherever it was sent on to."""
        if self.passed is not None and offset >= self.passed.get(partition, 0):
            return False
        return self.forwarded.word(partition, offset) is None


@dataclass(frozen=True)
class Case:
    """One order: all that the books hold of it."""

    order_id: bytes
    records: Sequence[OrderFacts] = ()
    #: More than one: it has two effects.
    rows: Sequence[RowFacts] = ()
    status: StatusFacts | None = None
    #: When it is due, by its last record on `orders-by-id` or `orders-retry` that the group has not passed.
    due_ms: int | None = None
    #: Of dead letters about its very content: the fingerprint, and whether it is one of a row that waits for a person.
    letters: frozenset[tuple[bytes, bool]] = field(default_factory=frozenset)
    is_removed: bool = False

    @property
    def name(self) -> str:
        return str(UUID(bytes=self.order_id))

    def is_row(self, record: OrderFacts) -> bool:
        """Whether the record is the order that has the row, not another with its id."""
        return any(same_content(row.fingerprint, record.fingerprint) for row in self.rows)

    def is_at_work(self, evidence: Evidence) -> bool:
        """Whether a worker may be at work on it: what is not there yet comes before its record is passed."""
        if self.order_id in evidence.being_published or (self.due_ms is not None and self.due_ms <= evidence.now_ms):
            return True
        return any(not evidence.is_passed(record.partition, record.offset) for record in self.records)


class Verdict(NamedTuple):
    """`on_the_way`: records without an outcome that the group has not passed."""

    faults: list[Fault]
    on_the_way: int


def judge(case: Case, evidence: Evidence) -> Verdict:
    """What is amiss with the order."""
    faults: list[Fault] = []
    on_the_way = 0
    for record in case.records:
        fault = _record_fault(case, record, evidence)
        if fault and fault.kind == "lost" and not evidence.is_passed(record.partition, record.offset):
            on_the_way += 1
        elif fault:
            faults.append(fault)
    return Verdict([*faults, *_row_faults(case, evidence)], on_the_way)


def _record_fault(case: Case, record: OrderFacts, evidence: Evidence) -> Fault | None:
    where = f"orders[{record.partition}]@{record.offset}"
    letter = evidence.letters.word(record.partition, record.offset)
    is_row = case.is_row(record)
    if letter == "conflict" and is_row and not any(row.fingerprint == FORGOTTEN for row in case.rows):
        return Fault("divergent", "dead letter for a conflict, but it is the content of the row", where)
    if case.is_removed and not case.rows:
        return None
    if letter is None and not is_row:
        what = "other content than its row and no dead letter" if case.rows else "no row and no dead letter"
        return Fault("lost", what, where)
    if letter in LETTERS_OF_ROWS and not case.rows:
        return Fault("lost", f"dead letter ({letter}) that belongs to a row, and no row", where)
    return None


def _row_faults(case: Case, evidence: Evidence) -> Iterator[Fault]:
    if not case.rows:
        if case.status and case.order_id not in evidence.being_published:
            yield Fault("divergent", "status record without row", case.name)
        return
    if len(case.rows) > 1:
        yield Fault("duplicated", f"{len(case.rows)} rows", case.name)
    if case.is_at_work(evidence):
        return
    yield from _waiting_faults(case, evidence)
    if case.status is None:
        yield Fault("divergent", "row without status record", case.name)
    elif case.status.published not in {row.published for row in case.rows}:
        yield Fault("divergent", "row and last status record differ", case.name)


def _waiting_faults(case: Case, evidence: Evidence) -> Iterator[Fault]:
    """An order under review waits for its next attempt, or for a person, who knows of it by its dead letter."""
    for row in case.rows:
        if not row.is_under_review or row.fingerprint == FORGOTTEN:
            continue
        letters = set(_letters(case, row, evidence))
        if row.is_for_a_person:
            # Without its record, which Kafka may have removed, nothing says that a letter has to be there still.
            if True not in letters and any(record.fingerprint == row.fingerprint for record in case.records):
                what = f"waits for a person ({row.reason}) and no dead letter that says so"
                yield Fault("lost", what, case.name)
        elif case.due_ms is None and not letters:
            what = f"under review ({row.reason}), but no attempt on orders-retry and no dead letter: nobody decides it"
            yield Fault("lost", what, case.name)


def _letters(case: Case, row: RowFacts, evidence: Evidence) -> Iterator[bool]:
    """For each dead letter about the row's own content: whether it says that the row waits for a person."""
    yield from (waits for fingerprint, waits in case.letters if fingerprint == row.fingerprint)
    for record in case.records:
        letter = evidence.letters.word(record.partition, record.offset)
        if letter not in (None, "conflict") and record.fingerprint == row.fingerprint:
            yield letter in LETTERS_OF_WAITING
