"""The invariants of the protocol, looked at while a world runs. What is wrong is said in words."""

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from creditstream.order.home_partition import home_partition
from schemas.decision import FOR_A_PERSON, WAITING
from schemas.status import FORGOTTEN, Row
from tests.simulation.calls import Calls
from tests.simulation.clocks import now
from tests.simulation.evidence import Evidence, Place, amount_of

if TYPE_CHECKING:
    from tests.simulation.world import World

_MOST_COMPLAINTS = 20
_NO_GENERATION = -1


class Checks:
    """Told of everything that Kafka takes, of every row that is written and of every commit of offsets."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.wrong: list[str] = []
        self.evidence = Evidence(self.complain)
        self.sent = self.evidence.sent
        self.calls = Calls(world)
        self._committed: dict[tuple[str, int], int] = defaultdict(int)
        self._looked_at: dict[tuple[str, int], int] = defaultdict(int)
        #: Contents of orders whose records Kafka has lost, and offsets that it gives twice.
        self.cut: dict[UUID, set[Decimal]] = defaultdict(set)
        self._reused: dict[int, tuple[range, int]] = {}

    def complain(self, text: str) -> None:
        if len(self.wrong) < _MOST_COMPLAINTS:
            self.wrong.append(f"{text} (at {self._world.played:.2f} s)")

    def seen_through(self, topic: str, partition: int) -> int:
        """As far as all that has come to a log was looked at."""
        return self._looked_at[topic, partition]

    def row(self, order_id: UUID) -> Row | None:
        found = self._world.faults.operators.dropping.row(str(order_id))
        row = None if found is None else msgspec.convert(found, Row, strict=False)
        lost = self._world.faults.operators.losses.was_lost(order_id)
        if lost is None or lost.version > self.evidence.versions.get(order_id, 0):
            return row
        return lost if row is None or row.version < lost.version else row  # published: `restore` has to bring it back

    # -- while it runs

    def on_append(self, place: tuple[str, int], base: int) -> None:
        topic, partition = place
        name = topic.removeprefix(self._world.prefix)
        for record in self._world.broker.topics[topic][partition].records(since=base):
            self._looked_at[place] = record.offset + 1
            self.evidence.take(name, partition, record)
            if name == "order-status" and record.value is not None:
                self._is_committed(UUID(record.key.decode()))
                self._is_at_home(UUID(record.key.decode()), partition)

    def _is_at_home(self, order_id: UUID, partition: int) -> None:
        """Else another worker may publish another state of it, in an order that nobody decides."""
        topics = (self._world.broker.topics[self._world.topic(name)] for name in ("order-status", "orders"))
        # `orders` grows last: who passed the checks before goes by its number, and `grow`, run again, copies that.
        if partition not in {home_partition(order_id, len(partitions)) for partitions in topics}:
            self.complain(f"I2: a status of {order_id} is on another partition than the order's home")

    def _is_committed(self, order_id: UUID) -> None:
        row = self.row(order_id)
        if self._world.removed.is_gone(order_id):
            self._world.removed.on_late_status(order_id)
        elif row is None or row.version < self.evidence.versions[order_id]:
            self.complain(f"I4: a status of {order_id} is published that is not committed")

    def on_write(self, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """Step 6: the first settled state stays, and *waiting* only ever makes a row."""
        if after["score"] is not None:
            self.calls.decided(after["order_id"], now.seconds)
        if before is None:
            return
        order_id = after["order_id"]
        if before["status"] != "under_review":
            self.complain(f"I2: order {order_id} was {before['status']} and is {after['status']} now")
        if after["reason"] == WAITING.reason:
            self.complain(f"I2: order {order_id} was {before['reason']} and waits again")
        if after["version"] != before["version"] + 1:
            self.complain(f"I4: order {order_id} goes from version {before['version']} to {after['version']}")

    def on_commit(self, group: str, offsets: dict[tuple[str, int], int]) -> None:
        if group != self._world.group:
            return
        for (topic, partition), offset in offsets.items():
            name = topic.removeprefix(self._world.prefix)
            for each in range(self._committed[topic, partition], offset):
                self._is_done(name, partition, each)
            self._committed[topic, partition] = max(self._committed[topic, partition], offset)

    def _is_done(self, name: str, partition: int, offset: int) -> None:
        """I3: whatever an offset is committed for has had its whole effect."""
        place = (name, partition, offset)
        if name == "orders-retry":
            order_id = self.evidence.retries.get((partition, offset))
            if order_id is not None:
                self._order_is_done(order_id, place, (partition, offset))
            return
        origin = self.evidence.origins.get(place, place)
        sent = self.sent.get(origin)
        if (
            sent is None
            or origin in self.evidence.letters
            or self.may_be_passed_over(origin)
            or self.evidence.forwarded.get(origin, place) != place
        ):
            return
        if sent.order_id is None:
            self.complain(f"I3: {place} is committed: no order, and no dead letter")
        else:
            self._order_is_done(sent.order_id, place, None, amount_of(sent.value))

    def _order_is_done(
        self, order_id: UUID, place: Place, after: tuple[int, int] | None, amount: Decimal | None = None
    ) -> None:
        row = self.row(order_id)
        if row is None and self._world.removed.is_gone(order_id):
            sent = self.sent.get(self.evidence.origins.get(place, place))
            self._world.removed.is_done(place, order_id, None if amount is None or sent is None else sent.value)
        elif row is None:
            self.complain(f"I3: {place} is committed, and order {order_id} has no row")
        elif amount is not None and row.amount != amount and row.fingerprint != FORGOTTEN:
            self.complain(f"I3: {place} is committed: a conflict with {order_id}, and no dead letter")
        elif self._is_tried_again(order_id, after) and self._is_behind(order_id, row):
            return  # its next turn brings what is missing
        elif row.is_settled:
            is_told = self.evidence.versions.get(order_id) == row.version
            if not is_told and str(order_id) not in self._world.faults.operators.unpublished:
                self.complain(f"I3: {place} is committed, and the last state of {order_id} is not published")
            if row.reason in FOR_A_PERSON and row.reason not in self.evidence.letters_of[order_id]:
                self.complain(f"I3: {place} is committed, and {order_id} waits for a person without a dead letter")
        else:
            self.complain(f"I3: {place} is committed, and nobody will try {order_id} again")

    def _is_tried_again(self, order_id: UUID, after: tuple[int, int] | None) -> bool:
        """Whether a record on `orders-retry` is still to be handled, another than that."""
        return any(
            each != after and each[1] >= self._committed["orders-retry", each[0]]
            for each in self.evidence.tries[order_id]
        )

    def _is_behind(self, order_id: UUID, row: Row) -> bool:
        lacks_letter = row.reason in FOR_A_PERSON and row.reason not in self.evidence.letters_of[order_id]
        return not row.is_settled or self.evidence.versions.get(order_id) != row.version or lacks_letter

    def on_cut(self, partition: int, end: int, old_end: int) -> None:
        """The log of `orders` ends there now: what stood behind it is gone, and may have had its effect."""
        self._reused[partition] = (range(end, old_end), self._generation)
        gone = [place for place in self.sent if place[:2] == ("orders", partition) and place[2] >= end]
        for copy in [copy for copy, origin in self.evidence.origins.items() if origin in gone]:
            del self.evidence.origins[copy]
        for place in gone:
            cut = self.sent.pop(place)
            if cut.order_id is not None:
                self.cut[cut.order_id].add(amount_of(cut.value))
            self.evidence.letters.pop(place, None)
            self.evidence.forwarded.pop(place, None)
        for counted in (self._committed, self._looked_at):
            counted["orders", partition] = min(counted["orders", partition], end)

    def on_unnoticed_cut(self, partition: int) -> None:
        """The client that waited at the log's end could not hear of it: the log may be as long again when it does."""
        offsets, _ = self._reused[partition]
        self._reused[partition] = offsets, _NO_GENERATION

    @property
    def _generation(self) -> int:
        return self._world.broker.groups[self._world.group].generation

    def may_be_passed_over(self, place: Place) -> bool:
        """Offsets that Kafka gives twice, if partitions moved before the smaller one was committed: a known limit."""
        offsets, generation = self._reused.get(place[1], (range(0), 0))
        return place[0] == "orders" and place[2] in offsets and generation != self._generation
