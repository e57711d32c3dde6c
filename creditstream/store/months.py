"""Months of `orders` that have no partition yet. They are made beside the commits: only their own orders wait."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC
from uuid import UUID

import msgspec

from creditstream.order.ports import Proposal
from creditstream.store.database import Database
from creditstream.store.errors import BadRow
from creditstream.store.proposals import as_array

log = logging.getLogger(__name__)

#: Seconds between two tries, the first and the longest. Somebody holds a lock, or the role may not make tables.
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
#: Months whose first try a commit waits for, if nobody else waits for any. For more it waits for none.
_AT_ONCE = 3
#: How a month's first try ended: made, not yet, or never.
_Tried = bool | BadRow
#: Seconds between two months: who waits for a connection has it first.
_BREATH = 0.01


class New(msgspec.Struct, frozen=True):
    """A new order whose month has no partition. `goes`: it is being dropped, and is made when that is over."""

    order_id: UUID
    month: str
    goes: bool


_decode_new = msgspec.json.Decoder(list[New]).decode


class Months:
    """Makes what is missing in a task of its own, which takes one connection, for a moment at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Months that are being made. Who wanted one first is told how the first try ended.
        self._wanted: dict[str, asyncio.Future[_Tried]] = {}
        #: Months that had no partition when that was asked last.
        self._lacking: set[str] = set()
        self._has_new = asyncio.Event()
        self._making: asyncio.Task[None] | None = None
        self._is_closed = False

    def waits(self, new: "New") -> bool:
        """Whether nothing is to be done for its month now: it goes, or it is being made."""
        return new.goes or new.month in self._wanted

    def lacks(self, proposal: Proposal) -> bool:
        """Whether its month had no partition when that was asked last: a claim would write, and be rolled back."""
        return bool(self._lacking) and _month_of(proposal) in self._lacking

    async def missing(self, batch: Sequence[Proposal]) -> dict[UUID, New]:
        """The new orders whose month has no partition."""
        ids = as_array(proposal.order.order_id for proposal in batch)
        times = as_array(proposal.order.created_at.isoformat() for proposal in batch)
        found = _decode_new(await self._database.value("orders_without_month", {"ids": ids, "times": times}))
        self._lacking -= {_month_of(proposal) for proposal in batch}
        self._lacking |= {new.month for new in found}
        return {new.order_id: new for new in found}

    async def make(self, months: Iterable[str]) -> set[str]:
        """Those that are made at once. The others are made when it can be, and nobody waits for them.

        Raises BadRow when PostgreSQL will never make one of them.
        """
        is_busy, new = bool(self._wanted), sorted(set(months) - self._wanted.keys())
        told = {} if self._is_closed else {month: self._want(month) for month in new}
        if is_busy or len(told) > _AT_ONCE:
            return set()
        tried = {month: await asyncio.shield(each) for month, each in told.items()}
        for result in tried.values():
            if isinstance(result, BadRow):
                raise result
        return {month for month, result in tried.items() if result}

    async def close(self) -> None:
        self._is_closed = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])

    def _want(self, month: str) -> "asyncio.Future[_Tried]":
        self._wanted[month] = told = asyncio.get_running_loop().create_future()
        self._has_new.set()
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_all())
        return told

    async def _make_all(self) -> None:
        pause = _PAUSE
        try:
            while self._wanted and not self._is_closed:
                self._has_new.clear()
                if await self._pass():
                    pause = _PAUSE
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._has_new.wait(), pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._tell_all()

    async def _pass(self) -> bool:
        """One after the other, up to the first that cannot be made: what it lacks, the others lack too."""
        for month in list(self._wanted):
            try:
                await self._database.value("make_month", {"month": month}, blames=False)
            except BadRow as bad:
                self._end(month, bad)
            except Exception as error:  # noqa: BLE001 - whatever it is, its orders wait, and nothing else does
                self._wanted[month] = self._wanted.pop(month)  # the next pass begins with another
                others = f" and {len(self._wanted) - 1} others" if len(self._wanted) > 1 else ""
                self._tell_all()
                log.warning("the month %s%s cannot be made yet, and its orders wait: %s", month[:7], others, error)
                return False
            else:
                self._end(month, True)
            await asyncio.sleep(_BREATH)
        return True

    def _end(self, month: str, result: _Tried) -> None:
        self._lacking.discard(month)
        _tell(self._wanted.pop(month), result)

    def _tell_all(self) -> None:
        """Nobody waits any longer."""
        for told in self._wanted.values():
            _tell(told, False)


def _tell(told: "asyncio.Future[_Tried]", result: _Tried) -> None:
    if not told.done():
        told.set_result(result)


def _month_of(proposal: Proposal) -> str:
    """As PostgreSQL names it."""
    return f"{proposal.order.created_at.astimezone(UTC):%Y-%m}-01T00:00:00Z"
