"""What must be asked for: how far the read replica is behind, and for how many months there are partitions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from creditstream.errors import Unavailable

#: As often as Prometheus usually scrapes.
_EVERY = 15.0
#: Within a question the replica is asked again this often: a lag below it is not worth knowing.
_AGAIN = 0.05
_PATIENCE = 1.0


class Primary(Protocol):
    """Methods raise Unavailable."""

    async def months_ahead(self) -> int: ...

    async def position(self) -> str:
        """Where its log ends now."""
        ...


class Replica(Protocol):
    """Methods raise Unavailable."""

    async def has(self, position: str) -> bool: ...

    async def close(self) -> None: ...


class Probes:
    """Keeps the last answers for the scrapes."""

    def __init__(
        self,
        primary: Primary,
        open_replica: Callable[[], Awaitable[Replica]] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary, self._open_replica, self._clock = primary, open_replica, clock
        self._replica: Replica | None = None
        self.months_ahead: int | None = None
        #: What the replica is still to show: a place in the primary's log, and when it was there.
        self._wanted: tuple[str, float] | None = None
        self._lag = 0.0
        #: None without a replica.
        self.replica_lag: Callable[[], float] | None = self._replica_lag if open_replica else None

    def _replica_lag(self) -> float:
        """Seconds. While the replica does not have what is wanted, it grows from one scrape to the next."""
        return max(self._lag, self._clock() - self._wanted[1]) if self._wanted else self._lag

    async def run(self) -> None:
        """For as long as the worker lives."""
        while True:
            await self.run_once()
            await asyncio.sleep(_EVERY)

    async def close(self) -> None:
        if self._replica:
            await self._replica.close()

    async def run_once(self) -> None:
        """A server that is away leaves the last answer as it was; the replica's lag goes on growing."""
        try:
            self.months_ahead = await self._primary.months_ahead()
            if self._open_replica:
                await self._follow()
        except Unavailable:
            return

    async def _follow(self) -> None:
        if self._wanted is None:
            asked = self._clock()
            self._wanted = await self._primary.position(), asked
        if self._replica is None and self._open_replica:
            self._replica = await self._open_replica()
        position, since = self._wanted
        until = self._clock() + _PATIENCE
        while self._replica and not await self._replica.has(position):
            if self._clock() >= until:
                return
            await asyncio.sleep(_AGAIN)
        self._lag, self._wanted = self._clock() - since, None
