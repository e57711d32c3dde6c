"""Months of `orders` that have no partition yet. They are made beside the commits: only their own orders wait."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec

from creditstream.order.ports import Proposal
from creditstream.store.database import Database
from creditstream.store.errors import BadRow
from creditstream.store.proposals import as_array

log = logging.getLogger(__name__)

#: Seconds between two tries, the first and the longest. Somebody holds a lock, or the role may not make tables.
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
#: How a month's first try ended: made, not yet, or never.
_Tried = bool | BadRow


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
        self._has_new = asyncio.Event()
        self._making: asyncio.Task[None] | None = None
        self._is_closed = False

    async def missing(self, batch: Sequence[Proposal]) -> dict[UUID, New]:
        """The new orders whose month has no partition."""
        ids = as_array(proposal.order.order_id for proposal in batch)
        times = as_array(proposal.order.created_at.isoformat() for proposal in batch)
        found = await self._database.value("orders_without_month", {"ids": ids, "times": times})
        return {new.order_id: new for new in _decode_new(found)}

    async def make(self, months: Iterable[str]) -> set[str]:
        """Those that are made at once. The others are made when it can be; nobody waits for them a second time.

        Raises BadRow when PostgreSQL will never make one of them.
        """
        wanted = [] if self._is_closed else sorted(set(months))
        first = {month: self._wanted.get(month) or self._want(month) for month in wanted}
        tried = [(month, await asyncio.shield(told)) for month, told in first.items()]
        for _, result in tried:
            if isinstance(result, BadRow):
                raise result
        return {month for month, result in tried if result}

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
                for month in list(self._wanted):
                    await self._try(month)
                if self._wanted:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._has_new.wait(), pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._tell_all()

    async def _try(self, month: str) -> None:
        try:
            await self._database.value("make_month", {"month": month})
        except BadRow as bad:
            _tell(self._wanted.pop(month), bad)
        except Exception as error:  # noqa: BLE001 - whatever it is, its orders wait, and nothing else does
            log.warning("the month %s cannot be made yet, and its orders wait: %s", month[:7], error)
            self._tell_all()
        else:
            _tell(self._wanted.pop(month), True)

    def _tell_all(self) -> None:
        """Nobody waits any longer: a lock that one month needs is needed by the others too."""
        for told in self._wanted.values():
            _tell(told, False)


def _tell(told: "asyncio.Future[_Tried]", result: _Tried) -> None:
    if not told.done():
        told.set_result(result)
