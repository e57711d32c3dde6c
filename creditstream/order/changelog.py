"""A topic on which an outcome is delivered; and if it is a table's changelog, then written on the worker's disk."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from creditstream.errors import BrokerUnavailable, Fenced, Unsendable
from creditstream.order.flight import Settled
from creditstream.order.ports import Outgoing, Publishes
from creditstream.order.terms import Terms

log = logging.getLogger(__name__)

_BACKOFF = 0.5
_FENCED_WAIT = 0.1
Records = Mapping[int, Sequence[Outgoing]]


class Table(Protocol):
    """A partitioned table whose changelog records were delivered before `put` writes it."""

    def put(self, partition: int, items: Mapping[bytes, bytes], last_offset: int) -> None: ...


class Changelog:
    """For the finisher: the statuses, and the marks."""

    def __init__(self, publisher: Publishes, topic: str, terms: Terms, table: Table | None = None) -> None:
        """`table`: whose changelog the topic is."""
        self._publisher, self._topic, self._terms, self._table = publisher, topic, terms, table

    async def write(
        self, batch: Sequence[Settled], outgoing: Callable[[Settled], Outgoing | None]
    ) -> Sequence[Settled]:
        """Delivered and written, however long Kafka is away. Returns those of `batch` that are still ours.

        Each attempt is judged again: what was given up meanwhile is left out. What was delivered when the term was over
        is not written here: with its offset, a recovery would pass over what another worker wrote before. If the
        partition came back it is delivered again. `outgoing`: an order's record, or None.
        """
        told = False
        while batch:
            term = await self._terms.known()
            batch = [settled for settled in batch if not settled.flight.over]
            try:
                if await self._is_taken(term, _by_partition(batch, outgoing)):
                    break
            except Fenced as error:
                if not told:  # it may take as long as Kafka is away
                    log.warning("%s: waiting for the group's word on what is ours: %s", self._topic, error)
                told = True
                await asyncio.sleep(_FENCED_WAIT)
        return batch

    async def _is_taken(self, term: int, records: Records) -> bool:
        try:
            await self._attempt(term, records)
        except BrokerUnavailable as error:
            log.warning("Kafka did not take records, trying again in %.1f s: %s", _BACKOFF, error)
        except Unsendable as error:  # nothing can take its place: until the topic's limit is another one
            log.error("a record of ours is not taken, trying again in %.1f s: %s", _BACKOFF, error)
        else:
            return True
        await asyncio.sleep(_BACKOFF)
        return False

    async def _attempt(self, term: int, records: Records) -> None:
        if not records:
            return
        self._terms.require(term)
        last = await self._publisher.publish(self._topic, records)
        self._terms.require(term)
        self._write(records, last)

    def _write(self, records: Records, last: Mapping[int, int]) -> None:
        """On the worker's disk, with each partition's last offset."""
        if self._table is None:
            return
        for partition, sent in records.items():
            items = {key: value for key, value, _ in sent if key is not None and value is not None}
            self._table.put(partition, items, last[partition])


def _by_partition(batch: Sequence[Settled], outgoing: Callable[[Settled], Outgoing | None]) -> Records:
    """Of each order the last record alone: tried again, an earlier one would stand behind what is delivered by then."""
    records: dict[int, dict[bytes | None, Outgoing]] = defaultdict(dict)
    for settled in batch:
        record = outgoing(settled)
        if record is not None:
            of_the_partition = records[settled.flight.partition]
            of_the_partition.pop(record.key, None)
            of_the_partition[record.key] = record
    return {partition: list(found.values()) for partition, found in records.items()}
