"""Faust's recovery of tables, which goes on until they are filled. Knows Faust's insides.

Faust 0.15.3 takes a step that is longer than `broker_request_timeout` for the worker's stop: no table is recovered any
more, and the worker waits for ever with its partitions. What replaces a method of Faust's is named as that is.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

from creditstream.kafka.delivery import RETRY


class PatientRecovery(Recovery):
    """Every step is waited for, and tried again when Kafka does not answer: the watchdog knows if it stays so."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - as Faust calls it
        """Raises RebalanceAgain or ServiceStopped."""
        await super()._wait(coro)

    async def _build_highwaters(self, *given: Any) -> None:
        await self._until_told(super()._build_highwaters, *given)

    async def _build_offsets(self, *given: Any) -> None:
        await self._until_told(super()._build_offsets, *given)

    async def _until_told(self, step: Callable[..., Awaitable[None]], *given: Any) -> None:
        while not self.should_stop:
            try:
                await step(*given)
            except (KafkaError, TimeoutError) as error:
                self.log.warning("cannot read where the tables' logs end, trying again: %s", type(error).__name__)
                await self.sleep(RETRY)
            else:
                return


class PatientTables(TableManager):
    """For the app's setting `TableManager`."""

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
