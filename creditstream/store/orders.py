"""The PostgreSQL sink: many orders in one transaction, and the first settled state of an order stays."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self
from uuid import UUID

import msgspec

from creditstream.config.settings import Settings
from creditstream.errors import StoreTakenBack
from creditstream.order.ports import Answer, Mark, NotYet, Proposal, Refused
from creditstream.store.database import Database
from creditstream.store.errors import BadRow, MissingPartition
from creditstream.store.marks import Marks
from creditstream.store.months import Months, New
from creditstream.store.proposals import as_array, as_json, gives_way
from schemas.status import Row

MAX_BATCH = 500
"""Orders in one statement. Four times as many save 12 % of the CPU (5.8 to 5.1 us an order); a bad one costs more."""


class _Found(msgspec.Struct, frozen=True, gc=False):
    """What `find_committed` answers. Of ids that are known and no row is seen of it is `removed`, or that is `open`."""

    rows: list[Row]
    removed: list[UUID]
    open: list[UUID]


_decode_rows = msgspec.json.Decoder(list[Row]).decode
_decode_found = msgspec.json.Decoder(_Found).decode
#: A claimed id whose row was removed (a dropped partition) must not come back as another effect.
_REMOVED = Refused("row_removed", "the order was committed before and its row has been removed")
_WHILE_IT_GOES = NotYet(Refused("constraint_violation", "the month of created_at is being dropped"))


class PostgresStore:
    """`creditstream.order.ports.Store` over PostgreSQL. Several may commit at the same time, in one process or many."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._months = Months(database)
        self._marks = Marks()

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Raises StartError (bad DSN) or StoreUnavailable; StoreUseless when it could take no order, but for
        want of a `restore`: what stands still goes on by itself."""
        store = cls(await Database.open(settings.postgres_dsn, size=settings.postgres_pool))
        try:
            with suppress(StoreTakenBack):
                await store.ping()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._months.close()
        await self._database.close()

    async def months_ahead(self) -> int:
        """Months after this one, without a gap, whose partition is there. Raises StoreUnavailable."""
        return int(await self._database.value("months_ahead"))

    async def position(self) -> str:
        """Where the server's log ends now, and which server's that is: for `Replica.has`. Raises StoreUnavailable."""
        return str(await self._database.value("primary_position"))

    async def ping(self) -> None:
        """Raises StoreUnavailable when PostgreSQL does not answer, StoreUseless when it could take no order."""
        await self._database.require("check_primary")
        await self._ask("check_commits")

    @property
    def taken_back(self) -> str:
        """Why nothing is committed or looked up until `restore` has run, as far as is known; or empty."""
        return self._marks.problem

    def expect(self, marks: Iterable[Mark]) -> None:
        """What must be there, from what was published or is remembered: asked with the next statements."""
        self._marks.expect(marks)

    async def report(self, by: str) -> None:
        """For all workers: commits are missing. What this one committed is published. Raises StoreUnavailable."""
        if not await self._database.value("report_taken_back", {"by": by, **self._marks.report()}):
            self._marks.withdraw()

    async def commit(self, proposals: Sequence[Proposal]) -> Mapping[UUID, Answer]:
        """See `Store.commit`. One statement for each MAX_BATCH new orders; a second one for those already known."""
        batch = sorted(proposals, key=_order_id)
        waiting = [proposal for proposal in batch if self._months.lacks(proposal)]
        answers = await self._still_waiting(waiting) if waiting else {}
        left = [proposal for proposal in batch if _order_id(proposal) not in answers] if waiting else batch
        for start in range(0, len(left), MAX_BATCH):
            answers |= await self._commit(left[start : start + MAX_BATCH])
        return answers

    async def find(self, order_ids: Sequence[UUID]) -> Mapping[UUID, Answer]:
        """See `Store.find`. One query, and a second one for those of which it saw no row: it was planned too early.

        A month may get its partition, and its first order, between a query's plan and its run.
        """
        answers = await self._find(order_ids)
        unseen = [order_id for order_id, answer in answers.items() if not isinstance(answer, Row)]
        return answers | await self._find(unseen)

    async def _find(self, order_ids: Sequence[UUID]) -> dict[UUID, Answer]:
        if not order_ids:
            return {}
        found = _decode_found(await self._ask("find_committed", {"ids": as_array(order_ids)}))
        self._marks.answered("find_committed", found.rows)
        answers: dict[UUID, Answer] = {row.order_id: row for row in found.rows}
        return answers | dict.fromkeys(found.removed, _REMOVED) | dict.fromkeys(found.open, NotYet(_REMOVED))

    async def ensure_partitions_ahead(self) -> int:
        """Make the partitions of this month and the next two: at start, and hourly. Returns how many were missing."""
        return int(await self._database.value("make_months_ahead"))

    async def _commit(self, batch: Sequence[Proposal]) -> dict[UUID, Answer]:
        """Halve a batch that holds a bad row until it is alone, or too much; everything else is committed."""
        if not batch:
            return {}
        try:
            return await self._write(batch)
        except BadRow as bad:
            if len(batch) == 1:
                return {batch[0].order.order_id: Refused(bad.reason, str(bad))}
        middle = len(batch) // 2
        return await self._commit(batch[:middle]) | await self._commit(batch[middle:])

    async def _still_waiting(self, batch: Sequence[Proposal]) -> dict[UUID, Answer]:
        """Of orders whose month could not be made: those for which nothing is to be done. Asked without a write."""
        new = (await self._months.missing(batch)).values()
        return _waiting(each for each in new if self._months.waits(each))

    async def _write(self, batch: Sequence[Proposal]) -> dict[UUID, Answer]:
        try:
            return await self._claim(batch)
        except MissingPartition:
            new = await self._months.missing(batch)
        if not new:
            return await self._claim(batch)
        answers = await self._commit([proposal for proposal in batch if _order_id(proposal) not in new])
        made = await self._months.make(each.month for each in new.values() if not each.goes)
        ready = {order_id for order_id, each in new.items() if each.month in made}
        answers |= await self._commit([proposal for proposal in batch if _order_id(proposal) in ready])
        return answers | _waiting(each for order_id, each in new.items() if order_id not in ready)

    async def _claim(self, batch: Sequence[Proposal]) -> dict[UUID, Answer]:
        answers: dict[UUID, Answer] = dict(await self._rows("claim_orders", {"batch": as_json(batch)}))
        if len(answers) < len(batch):
            known = [proposal for proposal in batch if proposal.order.order_id not in answers]
            answers |= await self._settle(known)
        return answers

    async def _settle(self, known: Sequence[Proposal]) -> dict[UUID, Answer]:
        """A row that should have given way and did not was out of the update's sight: its month came back meanwhile."""
        of = {proposal.order.order_id: proposal for proposal in known}
        ids = list(of)
        rows = await self._rows("settle_orders", {"batch": as_json(known), "ids": as_array(ids)})
        answers: dict[UUID, Answer] = {
            order_id: NotYet() if gives_way(row, of[order_id]) else row for order_id, row in rows.items()
        }
        if len(rows) < len(ids):
            unseen = [order_id for order_id in ids if order_id not in rows]
            found = await self.find(unseen)
            answers |= {order_id: _unless_row(found.get(order_id)) for order_id in unseen}
        return answers

    async def _rows(self, name: str, parameters: Mapping[str, object]) -> dict[UUID, Row]:
        rows = _decode_rows(await self._ask(name, parameters))
        self._marks.answered(name, rows)
        return {row.order_id: row for row in rows}

    async def _ask(self, name: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The named statement, in one transaction with the question whether all is there that should be."""
        known = self._marks.parameters()
        try:
            answer = await self._database.value(name, {**(parameters or {}), **known})
        except StoreTakenBack:
            self._marks.failed()
            raise
        self._marks.passed(known)
        return answer


def _order_id(proposal: Proposal) -> UUID:
    return proposal.order.order_id


def _waiting(new: Iterable[New]) -> dict[UUID, Answer]:
    return {each.order_id: _WHILE_IT_GOES if each.goes else NotYet() for each in new}


def _unless_row(found: Answer | None) -> Answer:
    """The row is seen again, or the id is gone by now: what is proposed of it can be written."""
    return NotYet() if found is None or isinstance(found, Row) else found
