"""How much of a worker work may take that can wait: all of what is idle, a little while orders wait."""

import asyncio
import time
from collections.abc import Callable

#: Seconds of processor time that one record costs to read and to write (docs/measurements/join.md).
_COST = 8e-6
#: Of all that the process spends while orders wait.
_SHARE = 0.2
#: Seconds. An order that only waits spends nothing: then one slice in so long.
_LONGEST = 0.5
_STEP = 0.02


class Throttle:
    """For filling."""

    def __init__(self, busy: Callable[[], bool], spent: Callable[[], float] = time.process_time) -> None:
        """`busy`: whether an order waits; `spent`: seconds of processor time of this process."""
        self._busy, self._spent = busy, spent

    async def after(self, records: int) -> None:
        """So many were read: now it is the others' turn."""
        await asyncio.sleep(0)
        since, until = self._spent(), time.monotonic() + _LONGEST
        owed = records * _COST / _SHARE
        while self._busy() and self._spent() - since < owed and time.monotonic() < until:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_STEP)
