"""What the owners before had published in a worker's partitions must be in PostgreSQL: they may be dead by now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from creditstream.errors import StartError, Unavailable
from creditstream.order.ports import Mark

log = logging.getLogger(__name__)
#: Seconds between two tries.
_AGAIN = 1.0

LastPublished = Callable[[Collection[int]], Awaitable[Iterable[Mark]]]


class Expects(Protocol):
    """The store."""

    def expect(self, marks: Iterable[Mark]) -> None: ...


class Inherited:
    """For the runtime. Nobody else asks for their last commits, and what comes after them hides that they are lost."""

    def __init__(self, store: Expects, last_published: LastPublished) -> None:
        """`last_published`: of some partitions; raises Unavailable or StartError."""
        self._store, self._last_published = store, last_published
        self._owned: frozenset[int] = frozenset()
        self._new: set[int] = set()
        self._wake = asyncio.Event()

    def own(self, partitions: frozenset[int]) -> None:
        """From now on these are this worker's."""
        self._new |= partitions - self._owned
        self._owned = partitions
        self._wake.set()

    def ask_again(self) -> None:
        """For what was published last in all of them: what was known before `restore` counts no more."""
        self._new |= self._owned
        self._wake.set()

    async def run(self) -> None:
        """For as long as the worker lives."""
        while True:
            await self._wake.wait()
            if not await self.run_once():
                await asyncio.sleep(_AGAIN)

    async def run_once(self) -> bool:
        """False: it is to be tried again."""
        self._wake.clear()
        new, self._new = self._new & self._owned, set()
        if not new:
            return True
        try:
            self._store.expect(await self._last_published(new))
        except (Unavailable, StartError) as error:
            log.warning("what was published in partitions %s is not known yet: %s", sorted(new), error)
            self._new |= new
            self._wake.set()
            return False
        return True
