"""Publishing committed rows to `order-status`, fenced: a worker whose partitions may have moved publishes nothing.

PostgreSQL's first write keeps a zombie's commits harmless. But its "under review", published after the new owner's
decision, would be the last record of the key, the one that compaction keeps (docs/adr/0007).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from creditstream.errors import BrokerUnavailable, Fenced
from creditstream.order.ports import Outgoing, Publishes


class Producer(Publishes, Protocol):
    """A producer that can be thrown away."""

    async def abandon(self) -> None:
        """Close without delivering what is still held."""
        ...


class _Gate:
    """Open while the lease holds; once shut it stays shut, whatever the lease does later."""

    def __init__(self, lease_holds: Callable[[], bool]) -> None:
        self._lease_holds = lease_holds
        self.shut = False

    def __call__(self) -> bool:
        self.shut = self.shut or not self._lease_holds()
        return not self.shut


class StatusPublisher(Publishes):
    """Publishes through a producer that is thrown away, with whatever it still holds, when ownership ends.

    The producer repeats a batch until it is delivered; one that is still undelivered at a rebalance must not come out
    of it later, when another worker has published a newer version.
    """

    def __init__(
        self, open_producer: Callable[[Callable[[], bool]], Awaitable[Producer]], lease_holds: Callable[[], bool]
    ) -> None:
        """`lease_holds`: whether the group was heard from lately enough: no other worker can own the partitions yet."""
        self._open_producer, self.lease_holds = open_producer, lease_holds
        self._current: tuple[_Gate, Producer] | None = None
        self._opening = asyncio.Lock()
        #: How often ownership has ended: what was asked for before waits for nothing any more.
        self._ended = 0
        self._leftovers: set[asyncio.Task[None]] = set()

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        """As `Publishes.publish`. Raises Fenced when ownership may have ended since the call."""
        gate, publisher = await self._opened()
        try:
            return await publisher.publish(topic, records)
        except BrokerUnavailable:
            holds = gate()
            self._throw_away()
            if holds:
                raise
            raise Fenced(topic) from None

    def end_ownership(self) -> None:
        """The partitions are given up: what is not delivered by now never will be."""
        self._ended += 1
        self._throw_away()

    def _throw_away(self) -> None:
        """The producer numbers its batches, so that a repeat that comes late is none; one that failed has a gap."""
        current, self._current = self._current, None
        if current is not None:
            gate, publisher = current
            gate.shut = True
            self._abandon(publisher)

    def _abandon(self, publisher: Producer) -> None:
        leftover = asyncio.create_task(publisher.abandon())
        self._leftovers.add(leftover)
        leftover.add_done_callback(self._leftovers.discard)

    async def close(self) -> None:
        self.end_ownership()
        await asyncio.gather(*self._leftovers)

    async def _opened(self) -> tuple[_Gate, Producer]:
        """Raises Fenced also when ownership ended while a producer was opened, which takes as long as Kafka takes."""
        ended = self._ended
        async with self._opening:
            if ended != self._ended:
                raise Fenced("partitions moved meanwhile")
            if not self.lease_holds():
                raise Fenced("no heartbeat of the group was answered lately")
            if self._current is None:
                gate = _Gate(self.lease_holds)
                publisher = await self._open_producer(gate)
                if ended != self._ended:
                    self._abandon(publisher)
                    raise Fenced("partitions moved meanwhile")
                self._current = gate, publisher
            return self._current
