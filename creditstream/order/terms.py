"""Terms of ownership: one begins whenever it is known again which partitions are this worker's."""

import asyncio
from collections.abc import Callable

from creditstream.errors import Fenced


class Terms:
    """Asked before and after whatever may be done only by the owner of a partition."""

    def __init__(self, lease_holds: Callable[[], bool]) -> None:
        """`lease_holds`: the group was heard from lately enough, so that nobody else can own the partitions yet."""
        self._lease_holds = lease_holds
        self._known = asyncio.Event()
        self._current = 0

    def hold(self, holding: bool) -> None:
        """For the pipeline. `holding`: it is open which partitions are ours. Every term before this is over."""
        self._current += 1
        if holding:
            self._known.clear()
        else:
            self._known.set()

    async def known(self) -> int:
        """Waits while it is open which partitions are ours. Returns the term that is on."""
        await self._known.wait()
        return self._current

    def require(self, term: int) -> None:
        """Raises Fenced if the term is over, or may be. A partition that left and came back has another one."""
        if term != self._current:
            raise Fenced("partitions moved meanwhile")
        if not self._lease_holds():
            raise Fenced("no heartbeat of the group was answered lately")
