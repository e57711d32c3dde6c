"""The parts of an audit that any process can do: enter some of a book, compare some of the buckets."""

from pathlib import Path
from typing import NamedTuple

from creditstream.kafka.topic_reader import Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS
from creditstream.operations.audit.buckets import Judged, judge_bucket
from creditstream.operations.audit.entries import BUCKETS
from creditstream.operations.audit.judge import Evidence
from creditstream.operations.audit.ledger import Books, Ledger
from creditstream.operations.audit.readers import Advance, Plan, read_orders, read_statuses, read_the_rows
from creditstream.operations.audit.scratch import Shelf

#: Buckets that are compared in one go: their cases travel from one process to another.
_BUCKETS = 8


class Enter(NamedTuple):
    """Read `book` into the folder's buckets; of a topic, only some partitions."""

    plan: Plan
    folder: Path
    book: str
    partitions: range = range(0)

    @property
    def name(self) -> str:
        """Of its files: sorted as the status topic's partitions are."""
        return f"{self.book}-{self.partitions.start:05}"

    async def run(self, advance: Advance) -> Books:
        """What is not about one order. Raises StartError, Unavailable or OSError (a full disk)."""
        with Ledger(self.folder, self.name) as ledger:
            if self.book == "rows":
                await read_the_rows(self.plan, ledger, advance)
                return ledger.books
            topics = await Topics.open(self.plan.settings, [], within=self.plan.bounds)
            try:
                read = read_orders if self.book == ORDERS else read_statuses
                await read(self.plan, topics, ledger, advance, self.partitions)
            finally:
                await topics.close()
            return ledger.books


class Compare(NamedTuple):
    """The orders in some buckets, by what was entered."""

    folder: Path
    buckets: range
    evidence: Evidence

    async def run(self, advance: Advance) -> Judged:
        """Raises OSError."""
        found, shelf = Judged(), Shelf(self.folder)
        for number in self.buckets:
            found.take(judge_bucket(shelf.entries(number), self.evidence))
            advance(1)
        return found


Task = Enter | Compare


def enter_tasks(plan: Plan, folder: Path, shares: int) -> list[Task]:
    """The large books, in so many shares each; the longest first."""
    tasks: list[Task] = []
    for book in (ORDERS, ORDER_STATUS):
        partitions = len(plan.of(book))
        step = -(-partitions // shares)
        tasks += [Enter(plan, folder, book, range(at, min(at + step, partitions))) for at in range(0, partitions, step)]
    return [*tasks, Enter(plan, folder, "rows")]


def compare_tasks(folder: Path, evidence: Evidence) -> list[Task]:
    return [Compare(folder, range(at, min(at + _BUCKETS, BUCKETS)), evidence) for at in range(0, BUCKETS, _BUCKETS)]
