"""What chaos runs found over time, and what orders that wait and damaged disks brought, as patches of the product."""

import asyncio
from collections import deque
from typing import Any, cast

from faust.transport.consumer import ensure_TP
from faust.types import TP

from creditstream.kafka import delivery, table_files
from creditstream.kafka.delivery import InOrderDelivery
from creditstream.kafka.positions import InOrderPositions
from creditstream.kafka.table import TableStore
from creditstream.kafka.table_files import TableFiles
from creditstream.kafka.throttle import Throttle
from creditstream.order.record import Record
from creditstream.order.waiting_room import WaitingRoom
from tests.chaos.put_in import put_in

_ROOM = 20


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


def _a_turn_for_each_record() -> None:
    """The rest of the loop has a turn after each record, not after a hundred: these faults lie between two of them."""
    put_in(delivery, "MOST_AT_ONCE", 1)


def damaged_disks() -> None:
    """Damaged tables are nobody's to wipe: they are never filled again."""
    put_in(table_files, "is_damage", lambda _error: False)


def a_miss_is_new_while_it_fills() -> None:
    """What `seen` does not know is taken for new, although the table is not whole. Filling takes some seconds."""

    async def slowly(_self: Throttle, _records: int) -> None:
        await asyncio.sleep(1.0)

    put_in(Throttle, "after", slowly)
    put_in(TableStore, "is_whole", lambda _self, _partition: True)


def marks_tell_how_far_the_disk_is() -> None:
    """A mark that is made while the table fills writes its offset: what was not read before it is passed over."""

    def mark(self: TableFiles, tp: TP, items: Any, last_offset: int) -> None:
        if tp.partition in self._dbs:
            self._write(tp.partition, items, last_offset)

    put_in(TableFiles, "mark", mark)


def whole_whoever_wrote_meanwhile() -> None:
    """A partition that was whole stays so over a rebalance, although another worker may have had it."""
    put_in(TableFiles, "doubt", lambda _self: None)


def room_that_is_never_given_back() -> None:
    """Places of orders that have waited are not free again."""
    accept = WaitingRoom._accept
    taken: dict[int, int] = {}

    def counted(self: WaitingRoom, record: Record) -> None:
        taken[id(self)] = taken.get(id(self), 0) + 1
        accept(self, record)

    put_in(WaitingRoom, "_accept", counted)
    put_in(WaitingRoom, "has_room", lambda self: taken.get(id(self), 0) < _ROOM)
