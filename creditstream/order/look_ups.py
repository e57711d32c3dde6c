"""PostgreSQL is asked what it has of many orders, however long it is away."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from creditstream.errors import StoreUnavailable
from creditstream.metrics.instruments import Instruments
from creditstream.order.flight import Flight
from creditstream.order.ports import Answer, Store
from creditstream.order.unforeseen import OF_A_RECORD, note

log = logging.getLogger(__name__)

_BACKOFF = 0.5


class LookUps:
    """For scoring."""

    def __init__(self, store: Store, metrics: Instruments) -> None:
        self._store, self._metrics = store, metrics

    async def find(self, batch: Sequence[Flight]) -> Mapping[UUID, Answer]:
        """As `Store.find`, until there is an answer."""
        while True:
            try:
                return await self._store.find([flight.order.order_id for flight in batch])
            except StoreUnavailable as error:
                log.warning("PostgreSQL is away, trying again in %.1f s: %s", _BACKOFF, error)
                await asyncio.sleep(_BACKOFF)
            except OF_A_RECORD as error:
                return await self._find_apart(batch, error)

    async def _find_apart(self, batch: Sequence[Flight], error: Exception) -> Mapping[UUID, Answer]:
        """Halve a batch that holds an order with which something unforeseen goes wrong: the commit will know it."""
        if len(batch) <= 1:
            for flight in batch:
                note(self._metrics, "looked up", error, flight.place)
            return {}
        middle = len(batch) // 2
        return {**await self.find(batch[:middle]), **await self.find(batch[middle:])}
