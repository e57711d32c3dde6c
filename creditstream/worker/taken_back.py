"""PostgreSQL was taken back: this worker stands still, tells all others by way of PostgreSQL, and goes on by itself."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from creditstream.errors import StoreTakenBack, StoreUnavailable

log = logging.getLogger(__name__)
#: Seconds between two looks.
_EVERY = 1.0


class Store(Protocol):
    """`creditstream.store.orders.PostgresStore`."""

    @property
    def taken_back(self) -> str: ...

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
        ...

    async def report(self, by: str) -> None:
        """Raises StoreUnavailable."""
        ...


class Orders(Protocol):
    """The pipeline."""

    @property
    def unpublished(self) -> int: ...


class TakenBack:
    """For the runtime. What is noticed here and by no other worker, all must know: `restore` answers to it."""

    def __init__(self, store: Store, orders: Orders, who: str, ask_again: Callable[[], object]) -> None:
        """`who`: for the people who read the table `taken_back`. `ask_again`: for what was published last."""
        self._store, self._orders, self._who, self._ask_again = store, orders, who, ask_again
        self._told = False

    async def run(self) -> None:
        """For as long as the worker lives."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.run_once()

    async def run_once(self) -> None:
        """One look. Nothing is asked while nothing is known to be wrong."""
        if not self._store.taken_back:
            self._go_on()  # a commit may have found out first
            return
        if not self._told:
            log.error("no order is taken: %s", self._store.taken_back)
            self._told = True
        try:
            await self._store.ping()
        except StoreTakenBack:
            await self._report()
        except StoreUnavailable:
            return  # it is away as well
        else:
            self._go_on()

    def _go_on(self) -> None:
        """What was published by now must stay: it may be taken back once more before there is anything new."""
        if self._told:
            log.warning("PostgreSQL has what was published: orders are taken again")
            self._told = False
            self._ask_again()

    async def _report(self) -> None:
        """What was committed before is published first, or given up: `restore` has to find it."""
        if self._orders.unpublished:
            return
        try:
            await self._store.report(self._who)
        except StoreUnavailable as error:
            log.warning("not told to the other workers yet: %s", error)
