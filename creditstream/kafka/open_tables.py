"""Faust recovers no table: streams flow as soon as partitions are assigned, `filling.py` fills meanwhile (ADR 0030).

Knows Faust's insides. What replaces a method of Faust's is named as that is.
"""

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery


class OpenRecovery(Recovery):
    """Every step is waited for. Faust 0.15.3 takes one that is longer than `broker_request_timeout` for the worker's
    stop: no partition gets a position any more, and the worker waits for ever with its partitions.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - as Faust calls it
        """Raises RebalanceAgain or ServiceStopped."""
        await super()._wait(coro)


class OpenTables(TableManager):
    """For the app's setting `TableManager`."""

    def __bool__(self) -> bool:
        """Faust asks before it holds all streams back until tables are recovered: as if there were none."""
        return False

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = OpenRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
