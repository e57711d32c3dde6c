"""The invariants of the protocol, looked at when a world has come to its end."""

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from faust.stores.rocksdb import Store

from creditstream.kafka.topics import ORDERS_DEAD_LETTER, SEEN_CHANGELOG
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, encode_status
from tables.seen import Seen
from tests.chaos.evidence import Call
from tests.chaos.verify_decisions import DECIDED, State, read_policies, wrongs_of_decided
from tests.chaos.verify_statuses import CHANGED_BY_FORGET, canonical
from tests.simulation.evidence import Place, amount_of, order_id_of
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World


class Ending:
    """Complains to the world's checks."""

    def __init__(self, world: "World") -> None:
        self._world, self._checks = world, world.checks
        self._evidence = world.checks.evidence
        self.complain = world.checks.complain

    def is_over(self) -> bool:
        """Whether everything that came is done, nothing waits, and every table is filled."""
        committed = self._world.broker.groups[self._world.group].committed
        for name in ("orders", "orders-by-id", "orders-retry"):
            topic = self._world.topic(name)
            for partition, log in self._world.broker.topics[topic].items():
                if committed.get((topic, partition), 0) < log.data_end:
                    return False
        return all(seen.is_whole(partition) for _, seen, partition in self._tables())

    def look(self) -> None:
        self._world.faults.operators.losses.lost.clear()
        over = self._checks.may_be_passed_over
        self._sent = {place: sent for place, sent in self._evidence.sent.items() if not over(place)}
        for order_id, amounts in self._orders().items():
            self._look_at_order(order_id, amounts)
        for place, sent in self._sent.items():
            if sent.order_id is None and place not in self._evidence.letters:
                self.complain(f"I1: {place} is no order and has no dead letter")
        if any(each in self._world.postgres.rows for each in self._world.faults.operators.unpublished):
            self.complain("an operator's forget is done, and some of its statuses are not published")
        self._look_at_letters()
        self._world.removed.look()
        self._look_at_decisions()
        self._checks.calls.look()
        self._look_at_tables()
        self._look_at_disks()

    def _look_at_letters(self) -> None:
        """`forget` is over, and what workers judged before it has its letter."""
        forgotten = self._world.faults.operators.forgotten
        for log in self._world.broker.topics[self._world.topic(ORDERS_DEAD_LETTER)].values():
            for record in log.records(since=log.start):
                order_id = order_id_of(record.value)
                if record.offset >= log.start and str(order_id) in forgotten:
                    self.complain(f"a dead letter shows order {order_id}, whose customer was forgotten")

    def _orders(self) -> dict[UUID, dict[Place, Decimal]]:
        """What was sent of each order: where, and with which amount."""
        found: dict[UUID, dict[Place, Decimal]] = defaultdict(dict)
        for place, sent in self._sent.items():
            if sent.order_id is not None:
                found[sent.order_id][place] = amount_of(sent.value)
        return found

    def _look_at_order(self, order_id: UUID, amounts: dict[Place, Decimal]) -> None:
        row = self._checks.row(order_id)
        if row is None and self._world.removed.is_gone(order_id):
            return
        if row is None and order_id in self._world.unforeseen.given_up and self._evidence.letters_of[order_id]:
            return
        if row is None:
            self.complain(f"I1: order {order_id} is lost: it has no row")
            return
        # Kafka has lost every record of it: who had begun it was the last to know.
        is_cut = row.amount in self._checks.cut[order_id] and row.amount not in amounts.values()
        if str(order_id) in self._world.faults.operators.forgotten and row.customer_id != FORGOTTEN_CUSTOMER:
            self.complain(f"order {order_id} shows its customer again, who was forgotten")
        if not row.is_settled and not is_cut:
            self.complain(f"liveness: order {order_id} is {row.status}, {row.reason}")
        is_told = self._evidence.last.get(order_id) == encode_status(row)
        if not is_told and not is_cut and not self._world.removed.came_back_unseen(order_id):
            self.complain(f"I2: the last status of {order_id} is not its row")
        if len(self._decisions(order_id)) > 1:
            self.complain(f"I2: order {order_id} is decided twice")
        if row.amount not in amounts.values() and row.amount not in self._ever_sent(order_id):
            self.complain(f"I2: the row of {order_id} is of no record")
        for place, amount in amounts.items():
            if amount != row.amount and place not in self._evidence.letters and row.fingerprint != FORGOTTEN:
                self.complain(f"I1: {place} conflicts with {order_id} and has no dead letter")

    def _ever_sent(self, order_id: UUID) -> set[Decimal]:
        """Also long ago, and in records that Kafka has lost since, or whose offset it gave twice."""
        sent = {amount_of(sent.value) for sent in self._evidence.sent.values() if sent.order_id == order_id}
        return sent | self._checks.cut[order_id] | self._world.removed.amounts(order_id)

    def _decisions(self, order_id: UUID) -> set[str]:
        """As they were published: without what `forget` changes, if the customer was forgotten."""
        forgotten = str(order_id) in self._world.faults.operators.forgotten
        published = map(json.loads, self._evidence.decisions[order_id])
        return {canonical(state, CHANGED_BY_FORGET if forgotten else ()) for state in published}

    def _look_at_decisions(self) -> None:
        """By the journal's scores and the shipped policy, without the product's own rule."""
        calls, policies = self._world.risk.calls(), read_policies()
        for state in map(State.of, self._world.postgres.rows.values()):
            if state.status in DECIDED:
                scored = [Call(*each) for each in calls.get(state.order_id, ())]
                scored.append(Call(0.0, 200, self._world.removed.score(state.order_id)))
                for wrong in wrongs_of_decided(state, scored, policies):
                    self.complain(f"order {state.order_id} is {state.status}, and the policy says no: {wrong}")

    def _look_at_tables(self) -> None:
        """What the workers remember is what the changelogs say."""
        for worker, seen, partition in self._tables():
            if str(seen.files.partition_path(partition)) not in worker.disk.damaged:  # else nobody read since
                self._look_at_table(worker.number, seen, partition)

    def _tables(self) -> Iterator[tuple[Worker, Seen, int]]:
        """Of all workers that live, for each of their partitions."""
        for worker in self._world.workers:
            if worker.life is not None and worker.life.app is not None and not worker.life.is_over:
                for partition in sorted({tp.partition for tp in worker.life.app.group.progress}):
                    yield worker, worker.life.app.runtime._seen, partition

    def _look_at_disks(self) -> None:
        """Whoever owns the partitions: filling passes over all up to the offset that stands there."""
        for worker in self._world.workers:
            for path, items in worker.disk.files.items():
                if path not in worker.disk.damaged and Store.offset_key in items:
                    self._look_at_disk(worker.number, Path(path).stem, items)

    def _look_at_disk(self, number: int, name: str, items: dict[bytes, bytes]) -> None:
        _, _, partition = name.rpartition("-")
        log = self._world.broker.topics[self._world.topic(SEEN_CHANGELOG)][int(partition)]
        last = {record.key: record for record in log.records()}
        for key, record in last.items():
            if record.value is None:
                continue  # a running worker's table does not hear of tombstones
            if record.offset <= int(items[Store.offset_key]) and items.get(key) != record.value:
                self.complain(f"I10: the disk of worker {number} has an offset of {name}, and not all before it")
                return

    def _look_at_table(self, number: int, table: Seen, partition: int) -> None:
        log = self._world.broker.topics[table.changelog][partition]
        expected = {record.key: record.value for record in log.records()}
        for key, value in expected.items():
            if value is not None and table.get(partition, key) != value:
                self.complain(f"worker {number} does not know what stands in {table.changelog}[{partition}]")
                return
