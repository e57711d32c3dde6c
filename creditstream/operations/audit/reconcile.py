"""One audit: the books are read one after the other and compared; what seems amiss is looked at again (ADR 0029)."""

import time
from pathlib import Path

from rich.progress import Progress, TaskID

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.group_offsets import committed_offsets
from creditstream.kafka.topic_reader import Topics, partitions_of
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, topic_name
from creditstream.operations.audit.buckets import Judged
from creditstream.operations.audit.entries import BUCKETS
from creditstream.operations.audit.helpers import results_of
from creditstream.operations.audit.judge import Evidence
from creditstream.operations.audit.ledger import Books, Ledger
from creditstream.operations.audit.readers import ALL, SOURCES, Advance, Plan, read_small
from creditstream.operations.audit.replica import wait_for_replica
from creditstream.operations.audit.report import Report, report
from creditstream.operations.audit.scratch import scratch_folder
from creditstream.operations.audit.second_look import SecondLook
from creditstream.operations.audit.small_books import judge_invalid, never_read
from creditstream.operations.audit.tasks import compare_tasks, enter_tasks
from creditstream.operations.progress import progress_bars

#: Records from which on two processes help: their start costs as much as so many records of one.
_LARGE = 200_000
#: Each book is read in so many shares, so that both have something to do to the end.
_SHARES = 4
#: Orders that are looked at again in one go: some 100 MB.
_MOST_CASES = 100_000


async def audit(settings: Settings, *, progress: bool = False) -> Report:
    """Reconcile, at any time. `progress`: bars on standard error, if it is a terminal.

    Raises StartError, BrokerUnavailable or StoreUnavailable.
    """
    names = [topic_name(settings, name) for name in ALL]
    with scratch_folder(settings) as folder, progress_bars(shown=progress) as bars:
        topics = await Topics.open(settings, names)
        try:
            counts = {name: topics.partitions(name) for name in names}
            if len(set(counts.values())) > 1:
                raise StartError("topics have unequal partition counts: run it again when `grow` has run to its end")
            found = await _Audit(settings, folder, bars, topics).run()
            if counts != await partitions_of(settings, names):
                raise StartError("partitions were added meanwhile: run it again")
            return found
        finally:
            await topics.close()


class _Audit:
    def __init__(self, settings: Settings, folder: Path, bars: Progress, topics: Topics) -> None:
        self._settings, self._folder, self._bars, self._topics = settings, folder, bars, topics

    async def run(self) -> Report:
        """In this order: what is gone now and is not passed then was never read; what is passed then has its outcome in
        what is read after that.
        """
        begun = await self._topics.look_again()
        sources = {topic_name(self._settings, name) for name in SOURCES}
        passed = await committed_offsets(self._settings, [where for where in begun.ends if where.topic in sources])
        now_ms = int(time.time() * 1000)
        plan = Plan(self._settings, await self._topics.look_again(), passed)
        await wait_for_replica(self._settings)
        books = await self._enter(plan)
        evidence = Evidence(books.letters, books.forwarded, plan.passed_orders, now_ms)
        found = judge_invalid(books, evidence)
        starts = {where: start for where, start in begun.starts.items() if where.topic in sources}
        found.faults.extend(never_read(starts, passed, books.jumps))
        letters = books.counted_letters()
        await self._compare(plan, evidence, found)
        return report(found, letters)

    def _is_large(self, plan: Plan) -> bool:
        return sum(self._size(plan, name) for name in (ORDERS, ORDER_STATUS)) >= _LARGE

    def _size(self, plan: Plan, name: str) -> int:
        return sum(plan.bounds.ends[where] - plan.bounds.starts[where] for where in plan.of(name))

    async def _enter(self, plan: Plan) -> Books:
        total = sum(self._size(plan, name) for name in (ORDERS, ORDER_STATUS))
        bar = self._bars.add_task("reading", total=total + self._size(plan, ORDERS))  # about as many rows as records
        with Ledger(self._folder, "small") as ledger:
            await read_small(plan, self._topics, ledger, lambda _: None)
        tasks = enter_tasks(plan, self._folder, _SHARES)
        async for books in results_of(tasks, self._advance(bar), helped=self._is_large(plan)):
            ledger.books.take(books)
        return ledger.books

    async def _compare(self, plan: Plan, evidence: Evidence, found: Judged) -> None:
        """Bucket by bucket; when many orders seem amiss, they are looked at again before there are more."""
        bar = self._bars.add_task("comparing", total=BUCKETS)
        tasks = compare_tasks(self._folder, evidence)
        async for judged in results_of(tasks, self._advance(bar), helped=self._is_large(plan)):
            found.take(judged)
            if len(found.cases) >= _MOST_CASES:
                await self._look_again(plan, evidence, found)
        await self._look_again(plan, evidence, found)

    async def _look_again(self, plan: Plan, evidence: Evidence, found: Judged) -> None:
        if found.cases:
            found.faults.extend(await SecondLook(plan, self._topics, evidence.letters, found.cases).faults())
            found.cases.clear()

    def _advance(self, bar: TaskID) -> Advance:
        return lambda by: self._bars.advance(bar, by)
