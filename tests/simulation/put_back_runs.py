"""What chaos runs found over time, and what orders that wait and damaged disks brought, as patches of the product."""

import asyncio
from collections import deque
from typing import Any, cast

from faust.transport.conductor import Conductor
from faust.transport.consumer import ensure_TP
from faust.types import TP

from creditstream.kafka import delivery, table_files
from creditstream.kafka.delivery import InOrderDelivery
from creditstream.kafka.positions import InOrderPositions
from creditstream.order.record import Record
from creditstream.order.waiting_room import WaitingRoom
from tests.chaos.put_in import put_in

_ROOM = 20


def a_seek_during_a_fetch() -> None:
    """What was fetched on both sides of a rebalance is dropped behind a seek that did not wait for it."""
    put_in(InOrderDelivery, "seek_wait", InOrderDelivery._seek_to)
    put_in(delivery, "_FETCH_WAIT", 1.0)  # as when this fault was there


def rounds_that_go_on() -> None:
    """A rebalance between two deliveries of one round does not end the round."""

    async def drain_once(self: InOrderDelivery) -> None:
        if not self.flow_active:
            self._backlog.clear()
            await self.wait(cast(Any, self.can_resume_flow))
            return
        if not self.progress and not self.app.rebalancing and any(map(self.is_source, self.assignment())):
            await self.perform_seek()
        epoch, records = await self._fetch()
        if epoch != self._epoch or not self.flow_active:
            return
        for tp, batch in records.items():
            self._backlog[ensure_TP(tp)] = deque(batch)
        for tp in list(self._backlog):
            await self._deliver(tp, epoch)

    put_in(InOrderDelivery, "_drain_once", drain_once)
    _a_turn_for_each_record()


def positions_before_an_assignment() -> None:
    """Positions are taken whenever Faust says that no rebalance is on: also of what was just revoked."""
    revoked = InOrderPositions.on_partitions_revoked

    async def and_go_on(self: InOrderPositions, partitions: set[TP]) -> None:
        await revoked(self, partitions)
        self._is_assigned = True

    async def drain_once(self: InOrderPositions) -> None:
        if not self.progress and not self.app.rebalancing and any(map(self.is_source, self.assignment())):
            await self.perform_seek()
        await InOrderDelivery._drain_once(self)

    put_in(InOrderPositions, "on_partitions_revoked", and_go_on)
    put_in(InOrderPositions, "_drain_once", drain_once)


def positions_taken_unseen() -> None:
    """Then they are taken again once a recovery is over, which does not end the round of deliveries under way."""
    position = InOrderPositions._position

    async def quietly(self: InOrderPositions, epoch: int) -> None:
        await position(self, epoch)
        if self._epoch == epoch + 1:
            self._epoch = epoch

    positions_before_an_assignment()
    put_in(InOrderPositions, "_position", quietly)
    _a_turn_for_each_record()


def a_table_is_fetched_too_soon() -> None:
    """What is assigned is fetched before Faust knows what it is for, which takes no time here if it is not told to."""
    subscribed = Conductor.maybe_wait_for_subscriptions

    async def slowly(self: Conductor) -> None:
        await asyncio.sleep(0.3)
        await subscribed(self)

    async def at_once(self: InOrderPositions, partitions: set[TP], generation: int = 0) -> None:
        self._is_assigned = True
        await InOrderDelivery.on_partitions_assigned(self, partitions, generation)

    put_in(Conductor, "maybe_wait_for_subscriptions", slowly)
    put_in(InOrderPositions, "on_partitions_assigned", at_once)


def _a_turn_for_each_record() -> None:
    """The rest of the loop has a turn after each record, not after a hundred: these faults lie between two of them."""
    put_in(delivery, "MOST_AT_ONCE", 1)


def damaged_disks() -> None:
    """Damaged tables are nobody's to wipe: the worker ends, and so does the next one."""
    put_in(table_files, "is_damage", lambda _error: False)


def room_that_is_never_given_back() -> None:
    """Places of orders that have waited are not free again."""
    accept = WaitingRoom._accept
    taken: dict[int, int] = {}

    def counted(self: WaitingRoom, record: Record) -> None:
        taken[id(self)] = taken.get(id(self), 0) + 1
        accept(self, record)

    put_in(WaitingRoom, "_accept", counted)
    put_in(WaitingRoom, "has_room", lambda self: taken.get(id(self), 0) < _ROOM)
