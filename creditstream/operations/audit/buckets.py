"""PURE: one bucket's orders, compared in memory: those that are plainly well are counted, the others become cases."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict, Unpack

from creditstream.operations.audit.entries import (
    LETTER,
    ORDER,
    PENDING,
    REMOVED,
    ROW,
    STATUS,
    TOMBSTONE,
    UNDECIDED,
    UNDER_REVIEW,
    OrderFacts,
    RowFacts,
    StatusFacts,
    next_status,
)
from creditstream.operations.audit.judge import Case, Evidence, Fault, judge


@dataclass
class Judged:
    """Of one bucket or more. `cases` have a fault, as far as books say that were read one after the other.

    `faults` are for good: nothing that happens later takes them back.
    """

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cases: list[Case] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def take(self, other: "Judged") -> None:
        for name, count in other.counts.items():
            self.counts[name] += count
        self.cases += other.cases
        self.faults += other.faults


def judge_bucket(entries: Mapping[str, bytes], evidence: Evidence) -> Judged:
    """By its entries, by their kind. Called for each bucket, in any order, in any process."""
    return _Bucket(entries, evidence).judged() if any(entries.values()) else Judged()


class _Known(TypedDict, total=False):
    """What of a case is not looked up in the bucket."""

    due_ms: int | None
    letters: frozenset[tuple[bytes, bool]]
    is_removed: bool


class _Bucket:
    def __init__(self, entries: Mapping[str, bytes], evidence: Evidence) -> None:
        self._entries, self._evidence = entries, evidence
        self._found = Judged()
        self._rows: dict[bytes, RowFacts] = {}
        #: Of orders with two rows: all of them.
        self._many: dict[bytes, list[RowFacts]] = {}
        self._statuses: dict[bytes, StatusFacts] = {}
        #: Orders that are not plainly well, with their records.
        self._odd: dict[bytes, list[OrderFacts]] = {}

    def judged(self) -> Judged:
        self._take_rows()
        self._take_statuses()
        self._take_orders()
        self._compare()
        for case in self._cases():
            self._judge(case)
        return self._found

    def _take_rows(self) -> None:
        """A row that moved while the table was read may have been read twice: the later version counts."""
        rows = self._rows
        for order_id, *facts in ROW.iter_unpack(self._entries["rows"]):
            row, known = RowFacts(*facts), rows.get(order_id)
            if known is None:
                rows[order_id] = row
            elif known.created_us != row.created_us:
                self._many.setdefault(order_id, [known]).append(row)
            elif known.version < row.version:
                rows[order_id] = row
        counts, names = self._found.counts, ("approved", "rejected", "under_review")
        for row in self._all_rows():
            counts[names[min(row.state, UNDER_REVIEW)]] += 1

    def _all_rows(self) -> Iterator[RowFacts]:
        for order_id, row in self._rows.items():
            yield from self._many.get(order_id, (row,))

    def _take_statuses(self) -> None:
        statuses = self._statuses
        for order_id, published, decided, partition, offset, version, kind in STATUS.iter_unpack(
            self._entries["statuses"]
        ):
            known = statuses.get(order_id)
            if known is None and kind != TOMBSTONE:  # as most are: the only one of its order
                final = published if kind != UNDECIDED else None
                statuses[order_id] = StatusFacts(partition, version, published, final, decided)
                continue
            complain = partial(self._complain, f"order-status[{partition}]@{offset}")
            status = next_status(known, (published, decided, partition, version, kind), complain)
            if status:
                statuses[order_id] = status
            elif known:
                del statuses[order_id]

    def _complain(self, where: str, kind: str, what: str) -> None:
        self._found.faults.append(Fault(kind, what, where))

    def _take_orders(self) -> None:
        """A record is plainly well when it is passed, its row is decided and of its content, and has no letter."""
        rows, many, odd = self._rows, self._many, self._odd
        word, passed = self._evidence.letters.word, self._evidence.passed
        well: set[bytes] = set()
        records = repeats = 0
        for order_id, fingerprint, partition, offset in ORDER.iter_unpack(self._entries["orders"]):
            records += 1
            row = rows.get(order_id)
            is_well = row is not None and row.state < UNDER_REVIEW and row.fingerprint == fingerprint
            is_passed = passed is None or offset < passed.get(partition, 0)
            if is_well and is_passed and order_id not in many and word(partition, offset) is None:
                repeats += order_id in well
                well.add(order_id)
            else:
                odd.setdefault(order_id, []).append(OrderFacts(partition, offset, fingerprint))
        counts = self._found.counts
        counts["records"] += records
        counts["duplicates"] += repeats
        counts["orders"] += len(well | odd.keys())
        self._count_odd(well)

    def _count_odd(self, well: set[bytes]) -> None:
        counts = self._found.counts
        for order_id, records in self._odd.items():
            case = self._case(order_id, records)
            own = sum(map(case.is_row, records))
            counts["duplicates"] += max(0, own - (order_id not in well))
            counts["conflicts"] += len(records) - own if case.rows else 0

    def _compare(self) -> None:
        rows, statuses, many = self._rows, self._statuses, self._many
        for order_id, row in rows.items():
            status = statuses.get(order_id)
            if status is None or status.published != row.published or row.state >= UNDER_REVIEW or order_id in many:
                self._odd.setdefault(order_id, [])
        for order_id in statuses:
            if order_id not in rows:
                self._odd.setdefault(order_id, [])

    def _cases(self) -> Iterator[Case]:
        letters: dict[bytes, set[tuple[bytes, bool]]] = defaultdict(set)
        for order_id, fingerprint, waits in LETTER.iter_unpack(self._entries["letters"]):
            letters[order_id].add((fingerprint, waits))
        removed = {order_id for (order_id,) in REMOVED.iter_unpack(self._entries["removed"])}
        due: dict[bytes, tuple[int, int]] = {}
        for order_id, offset, due_ms in PENDING.iter_unpack(self._entries["pending"]):
            due[order_id] = max(due.get(order_id, (0, 0)), (offset, due_ms))
        for order_id, records in self._odd.items():
            yield self._case(
                order_id,
                records,
                due_ms=due[order_id][1] if order_id in due else None,
                letters=frozenset(letters.get(order_id, ())),
                is_removed=order_id in removed,
            )

    def _case(self, order_id: bytes, records: list[OrderFacts], **known: Unpack[_Known]) -> Case:
        row = self._rows.get(order_id)
        rows = self._many.get(order_id, [row] if row else [])
        return Case(order_id, records, rows, self._statuses.get(order_id), **known)

    def _judge(self, case: Case) -> None:
        verdict = judge(case, self._evidence)
        self._found.counts["on_the_way"] += verdict.on_the_way
        if verdict.faults:
            self._found.cases.append(case)
