"""The invariants of the protocol, looked at while a world runs and at its end. What is wrong is said in words."""

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from schemas.decision import FOR_A_PERSON, WAITING
from schemas.status import Row, encode_status
from tests.simulation.load import Sent

if TYPE_CHECKING:
    from tests.simulation.world import World

Place = tuple[str, int, int]
_decode_row = msgspec.json.Decoder(Row).decode


class Checks:
    """Told of everything that Kafka takes and of every commit."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.wrong: list[str] = []
        self.sent: dict[Place, Sent] = {}
        self._letters: dict[Place, str] = {}
        self._letters_of: dict[UUID, set[str]] = defaultdict(set)
        self._forwarded: dict[Place, Place] = {}
        self._origins: dict[Place, Place] = {}
        self._tries: dict[UUID, list[tuple[int, int]]] = defaultdict(list)
        self._versions: dict[UUID, int] = {}
        self._last: dict[UUID, bytes] = {}
        self._decisions: dict[UUID, set[bytes]] = defaultdict(set)
        self._committed: dict[tuple[str, int], int] = defaultdict(int)
        self._looked_at: dict[tuple[str, int], int] = defaultdict(int)
        self._retries: dict[tuple[int, int], UUID] = {}
        self._cut: dict[UUID, set[Decimal]] = defaultdict(set)
        self._reused: dict[int, tuple[range, int]] = {}

    def complain(self, text: str) -> None:
        text = f"{text} (at {self._world.played:.2f} s)"
        if len(self.wrong) < 20:
            self.wrong.append(text)

    def seen_through(self, topic: str, partition: int) -> int:
        """As far as all that has come to a log was looked at."""
        return self._looked_at[topic, partition]

    def row(self, order_id: UUID) -> Row | None:
        found = self._world.postgres.rows.get(str(order_id))
        return None if found is None else msgspec.convert(found, Row, strict=False)

    # -- while it runs

    def on_append(self, place: tuple[str, int], base: int) -> None:
        topic, partition = place
        log = self._world.broker.topics[topic][partition]
        for record in log.records(since=base):
            self._looked_at[place] = record.offset + 1
            name = topic.removeprefix(self._world.prefix)
            look = getattr(self, "_on_" + name.replace("-", "_"), None)
            if look is not None:
                look(record, partition)

    def _on_orders_by_id(self, record: Any, partition: int) -> None:
        origin = _origin(record)
        if origin is None:
            self.complain("a forward does not say where it comes from")
            return
        self._forwarded[origin] = self._origins.setdefault(("orders-by-id", partition, record.offset), origin)

    def _on_orders_dead_letter(self, record: Any, partition: int) -> None:
        origin = _origin(record)
        reason = dict(record.headers).get("x-error-class", b"").decode()
        if origin is None:
            self.complain("a dead letter does not say where it comes from")
            return
        self._letters[origin] = reason
        order_id = _order_id(record.value)
        if order_id is not None:
            self._letters_of[order_id].add(reason)

    def _on_orders_retry(self, record: Any, partition: int) -> None:
        order_id = UUID(record.key.decode())
        self._tries[order_id].append((partition, record.offset))
        self._retries[partition, record.offset] = order_id
        origin = _origin(record)
        if origin is not None:
            self._origins["orders-retry", partition, record.offset] = origin

    def _on_order_status(self, record: Any, partition: int) -> None:
        order_id = UUID(record.key.decode())
        if record.value is None:
            return
        status = msgspec.json.decode(record.value)
        version, before = status["version"], self._versions.get(order_id, 0)
        if version < before:
            self.complain(f"I4: the status of {order_id} goes back from version {before} to {version}")
        self._versions[order_id] = version
        self._last[order_id] = record.value
        if status["status"] != "under_review":
            self._decisions[order_id].add(record.value)
        row = self.row(order_id)
        if row is None or row.version < version:
            self.complain(f"I4: a status of {order_id} is published that is not committed")

    def on_write(self, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """Step 6: the first settled state stays, and *waiting* only ever makes a row."""
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
            order_id = self._retries.get((partition, offset))
            if order_id is not None:
                self._order_is_done(order_id, place, (partition, offset))
            return
        origin = self._origins.get(place, place)
        sent = self.sent.get(origin)
        if (
            sent is None
            or origin in self._letters
            or self._may_be_passed_over(origin)
            or (name == "orders" and origin in self._forwarded)
        ):
            return
        if sent.order_id is None:
            self.complain(f"I3: {place} is committed: no order, and no dead letter")
        else:
            self._order_is_done(sent.order_id, place, None, _amount(sent.value))

    def _order_is_done(
        self, order_id: UUID, place: Place, after: tuple[int, int] | None, amount: Decimal | None = None
    ) -> None:
        row = self.row(order_id)
        if row is None:
            self.complain(f"I3: {place} is committed, and order {order_id} has no row")
        elif amount is not None and row.amount != amount:
            self.complain(f"I3: {place} is committed: a conflict with {order_id}, and no dead letter")
        elif self._is_tried_again(order_id, after) and self._is_behind(order_id, row):
            return  # its next turn brings what is missing
        elif row.is_settled:
            if self._versions.get(order_id) != row.version:
                self.complain(f"I3: {place} is committed, and the last state of {order_id} is not published")
            if row.reason in FOR_A_PERSON and row.reason not in self._letters_of[order_id]:
                self.complain(f"I3: {place} is committed, and {order_id} waits for a person without a dead letter")
        else:
            self.complain(f"I3: {place} is committed, and nobody will try {order_id} again")

    def _is_tried_again(self, order_id: UUID, after: tuple[int, int] | None) -> bool:
        """Whether a record on `orders-retry` is still to be handled, another than that."""
        return any(
            each != after and each[1] >= self._committed["orders-retry", each[0]] for each in self._tries[order_id]
        )

    def _is_behind(self, order_id: UUID, row: Row) -> bool:
        return not row.is_settled or self._versions.get(order_id) != row.version

    def on_cut(self, partition: int, end: int, old_end: int) -> None:
        """The log of `orders` ends there now: what stood behind it is gone, and may have had its effect."""
        self._reused[partition] = (range(end, old_end), self._generation)
        for place in [place for place in self.sent if place[:2] == ("orders", partition) and place[2] >= end]:
            cut = self.sent.pop(place)
            if cut.order_id is not None:
                self._cut[cut.order_id].add(_amount(cut.value))
            self._letters.pop(place, None)
            self._forwarded.pop(place, None)
        for counted in (self._committed, self._looked_at):
            counted["orders", partition] = min(counted["orders", partition], end)

    @property
    def _generation(self) -> int:
        return self._world.broker.groups[self._world.group].generation

    def _may_be_passed_over(self, place: Place) -> bool:
        """Offsets that Kafka gives twice, if partitions moved before the smaller one was committed: a known limit."""
        offsets, generation = self._reused.get(place[1], (range(0), 0))
        return place[0] == "orders" and place[2] in offsets and generation != self._generation

    # -- at the end

    def is_over(self) -> bool:
        """Whether everything that came is done, and nothing waits."""
        committed = self._world.broker.groups[self._world.group].committed
        for name in ("orders", "orders-by-id", "orders-retry"):
            topic = self._world.topic(name)
            for partition, log in self._world.broker.topics[topic].items():
                if committed.get((topic, partition), 0) < log.data_end:
                    return False
        return True

    def at_the_end(self) -> None:
        self.sent = {place: sent for place, sent in self.sent.items() if not self._may_be_passed_over(place)}
        for order_id, contents in self._orders().items():
            self._look_at_order(order_id, contents)
        for place, sent in self.sent.items():
            if sent.order_id is None and place not in self._letters:
                self.complain(f"I1: {place} is no order and has no dead letter")
        self.wrong += self._world.policy_check.wrong(self._world)
        self._look_at_tables()

    def _orders(self) -> dict[UUID, set[Decimal]]:
        found: dict[UUID, set[Decimal]] = defaultdict(set)
        for sent in self.sent.values():
            if sent.order_id is not None:
                found[sent.order_id].add(_amount(sent.value))
        return found

    def _look_at_order(self, order_id: UUID, contents: set[Decimal]) -> None:
        row = self.row(order_id)
        if row is None:
            self.complain(f"I1: order {order_id} is lost: it has no row")
            return
        if not row.is_settled:
            self.complain(f"liveness: order {order_id} is {row.status}, {row.reason}")
        if self._last.get(order_id) != encode_status(row):
            self.complain(f"I2: the last status of {order_id} is not its row")
        if len(self._decisions[order_id]) > 1:
            self.complain(f"I2: order {order_id} is decided twice")
        if row.amount not in contents | self._cut[order_id]:
            self.complain(f"I2: the row of {order_id} is of no record")
        for place, sent in self.sent.items():
            if sent.order_id == order_id and _amount(sent.value) != row.amount and place not in self._letters:
                self.complain(f"I1: {place} conflicts with {order_id} and has no dead letter")

    def _look_at_tables(self) -> None:
        """What the workers remember is what the changelogs say."""
        for worker in self._world.workers:
            if worker.life is None or worker.life.app is None or worker.life.is_over:
                continue
            tables = worker.life.app.runtime._tables
            for partition in sorted({tp.partition for tp in worker.life.app.group.progress}):
                for table in (tables.seen, tables.statuses):
                    self._look_at_table(worker.number, table, partition)

    def _look_at_table(self, number: int, table: Any, partition: int) -> None:
        log = self._world.broker.topics[table.changelog][partition]
        expected = {record.key: record.value for record in log.records()}
        for key, value in expected.items():
            if table.get(partition, key) != value:
                self.complain(f"worker {number} does not know what stands in {table.changelog}[{partition}]")
                return


def _origin(record: Any) -> Place | None:
    headers = dict(record.headers)
    try:
        topic = headers["x-original-topic"].decode()
        return (topic, int(headers["x-original-partition"]), int(headers["x-original-offset"]))
    except (KeyError, ValueError, AttributeError):
        return None


def _order_id(value: bytes | None) -> UUID | None:
    try:
        return UUID(msgspec.json.decode(value or b"")["order_id"])
    except (msgspec.DecodeError, TypeError, KeyError, ValueError, AttributeError):
        return None


def _amount(value: bytes) -> Decimal:
    return Decimal(str(msgspec.json.decode(value)["amount"]))
