"""A database that pages ask, and that may be away: nobody waits for it twice, one look at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

from creditstream.errors import StoreUnavailable
from creditstream.order.ports import Search
from schemas.decision import Status
from schemas.status import Row

T = TypeVar("T")
_PATIENCE = 2.0
"""Seconds for a question. A server that is frozen takes connections and says nothing."""
_REST = 2.0
"""Seconds between two looks at a server that is away: who asks meanwhile is told so at once."""


class Reads(Protocol):
    """What is asked: `creditstream.store.reads.Reads`. Methods raise StoreUnavailable."""

    async def counts_today(self) -> dict[Status, int]: ...

    async def lag(self) -> float | None: ...

    async def search(self, search: Search, limit: int) -> list[Row]: ...

    async def order(self, order_id: UUID) -> Row | None: ...

    def drop(self) -> None: ...

    async def close(self) -> None: ...


OpenReads = Callable[[], Awaitable[Reads]]


class Source:
    """Opens its connections at the first question and again after a failure: a worker starts without it."""

    def __init__(self, name: str, open_reads: OpenReads, most: int | None = None) -> None:
        """`name`: for people. `most`: questions at a time; one more is told that there are too many."""
        self._name, self._open_reads, self._most = name, open_reads, most
        self._asking = 0
        self._reads: Reads | None = None
        self._opening = asyncio.Lock()
        self._is_away, self._look_at = False, float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        if self._reads:
            await self._reads.close()

    async def ask(self, question: Callable[[Reads], Awaitable[T]]) -> T:
        """Raises StoreUnavailable; at once while the server is known to be away: a look finds out when it is back."""
        if self._is_away:
            self._look()
            raise StoreUnavailable(f"the {self._name} did not answer a moment ago")
        if self._asking == self._most:
            raise Busy(f"the {self._name} is asked enough")
        self._asking += 1
        try:
            return await self._try(question)
        except StoreUnavailable:
            self._is_away = True  # until a look says that it was this question only
            self._look()
            raise
        finally:
            self._asking -= 1

    def _look(self) -> None:
        if asyncio.get_running_loop().time() >= self._look_at and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._find_out())

    async def _find_out(self) -> None:
        try:
            await self._try(lambda reads: reads.lag())
        except StoreUnavailable:
            self._look_at = asyncio.get_running_loop().time() + _REST
        else:
            self._is_away = False

    async def _try(self, question: Callable[[Reads], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await question(await self._open())
        except TimeoutError:
            if self._reads:
                self._reads.drop()
            raise StoreUnavailable(f"the {self._name} does not answer") from None

    async def _open(self) -> Reads:
        async with self._opening:
            if self._reads is None:
                self._reads = await self._open_reads()
            return self._reads


class Busy(StoreUnavailable):
    """As many ask it as may: nobody waits behind them."""
