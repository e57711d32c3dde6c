"""Orders that seem amiss, looked at again: what is on its way, or has come meanwhile, is no fault."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from aiokafka import TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.group_offsets import committed_offsets
from creditstream.kafka.topic_reader import Offsets, Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, ORDERS_BY_ID, ORDERS_DEAD_LETTER, ORDERS_RETRY
from creditstream.operations.audit.entries import AT_ONCE, RowFacts, StatusFacts, next_status
from creditstream.operations.audit.judge import LETTERS_OF_WAITING, Case, Evidence, Fault, judge
from creditstream.operations.audit.ledger import read_status, row_entry
from creditstream.operations.audit.places import Places
from creditstream.operations.audit.readers import SOURCES, OrderReader, Plan, about, attempts, origins
from creditstream.operations.dead_letter import read_letter
from creditstream.store.pages import find_suspects
from schemas.order import InvalidOrder

#: Seconds after which what still changes at every look is taken for alive. A look takes one or two.
_PATIENCE = 60.0
#: Seconds between two looks.
_PAUSE = 0.2
#: Of an order with a record that is not passed: behind all that it has on `orders-retry`, and due.
_AT_ONCE = (2**64, AT_ONCE)


@dataclass(frozen=True)
class Asked:
    """What the primary had of the orders, at one moment."""

    rows: dict[bytes, list[RowFacts]]
    removed: set[bytes]
    unpublished: set[bytes]
    at_work: bool = False

    def of(self, order_id: bytes) -> tuple[object, bool, bool]:
        """Equal at two moments: nothing about the order has changed."""
        return self.rows.get(order_id), order_id in self.removed, order_id in self.unpublished


class SecondLook:
    """At some orders. `topics` are open, and are read from where the first look ended.

    Every look reads in this order: how far the group is, where the topics end, what stands there, the rows. So a row
    that was there before a look, and is the same after it, has its status and its letter there, or its record is not
    passed: else it is a fault.
    """

    def __init__(self, plan: Plan, topics: Topics, letters: Places, cases: Iterable[Case]) -> None:
        self._plan, self._topics, self._letters = plan, topics, letters
        self._settings: Settings = plan.settings
        self._read_to: Offsets = dict(plan.bounds.ends)
        self._open = {case.order_id: case for case in cases}

    async def faults(self) -> list[Fault]:
        """What is amiss for certain. Raises StartError or Unavailable."""
        deadline = time.monotonic() + _PATIENCE
        faults: list[Fault] = []
        asked = await self._ask()
        while self._open and time.monotonic() < deadline:
            evidence = await self._read()
            now = await self._ask()
            being_published = frozenset(asked.unpublished if asked.at_work or now.at_work else ())
            evidence = replace(evidence, being_published=being_published)
            for order_id in list(self._open):
                if asked.of(order_id) == now.of(order_id):
                    faults += self._judge(order_id, now, evidence)
            asked = now
            if self._open:
                await asyncio.sleep(_PAUSE)
        return faults

    def _judge(self, order_id: bytes, asked: Asked, evidence: Evidence) -> list[Fault]:
        case = replace(
            self._open.pop(order_id), rows=asked.rows.get(order_id, []), is_removed=order_id in asked.removed
        )
        return judge(case, evidence).faults

    async def _ask(self) -> Asked:
        rows: dict[bytes, list[RowFacts]] = defaultdict(list)
        removed: set[bytes] = set()
        unpublished: set[bytes] = set()
        at_work = False
        async for found in find_suspects(self._settings, [UUID(bytes=order_id) for order_id in self._open]):
            for row in found.rows:
                rows[row.order_id.bytes].append(RowFacts(*row_entry(row)))
            removed.update(each.bytes for each in found.removed)
            unpublished.update(each.bytes for each in found.unpublished)
            at_work = at_work or found.at_work
        return Asked({order_id: sorted(each) for order_id, each in rows.items()}, removed, unpublished, at_work)

    async def _read(self) -> Evidence:
        """What is new on the topics goes into the cases."""
        passed = await committed_offsets(self._settings, [where for name in SOURCES for where in self._plan.of(name)])
        now_ms = int(time.time() * 1000)
        await self._topics.look_again()
        plan = self._plan._replace(passed=passed, bounds=self._topics.bounds)
        await self._read_statuses(plan)
        await self._read_letters(plan)
        forwarded = await self._read_what_waits(plan)
        self._read_to = dict(plan.bounds.ends)
        return Evidence(self._letters, forwarded, plan.passed_orders, now_ms)

    def _since(self, plan: Plan, name: str) -> dict[TopicPartition, int]:
        return {where: self._read_to[where] for where in plan.of(name)}

    async def _read_statuses(self, plan: Plan) -> None:
        async for records in self._topics.read(plan.topic(ORDER_STATUS), self._since(plan, ORDER_STATUS)):
            for record in records:
                entry = read_status(record.partition, record.offset, record.key, record.value)
                if not isinstance(entry, Fault) and (case := self._open.get(entry[0])):
                    _, published, decided, partition, _, version, kind = entry
                    status = _after(case.status, (published, decided, partition, version, kind))
                    self._open[case.order_id] = replace(case, status=status)

    async def _read_letters(self, plan: Plan) -> None:
        orders = plan.topic(ORDERS)
        async for records in self._topics.read(plan.topic(ORDERS_DEAD_LETTER), self._since(plan, ORDERS_DEAD_LETTER)):
            for letter in map(read_letter, records):
                if letter.topic == orders:
                    self._letters.add(letter.original_partition, letter.original_offset, letter.reason)
                if (order := about(letter)) and (case := self._open.get(order.order_id.bytes)):
                    letters = case.letters | {(order.fingerprint(), letter.reason in LETTERS_OF_WAITING)}
                    self._open[case.order_id] = replace(case, letters=letters)

    async def _read_what_waits(self, plan: Plan) -> Places:
        """Records that the group has not passed: of forwarded ones the place on `orders`, of all when they are due."""
        forwarded = Places()
        due: dict[bytes, tuple[int, int]] = {}  # by the offset of its last record: when
        async for waiting in self._topics.read(plan.topic(ORDERS_RETRY), plan.unpassed(ORDERS_RETRY)):
            for order_id, offset, due_ms in attempts(waiting, self._settings):
                if order_id.bytes in self._open:
                    due[order_id.bytes] = max(due.get(order_id.bytes, (0, 0)), (offset, due_ms))
        async for forwards in self._topics.read(plan.topic(ORDERS_BY_ID), plan.unpassed(ORDERS_BY_ID)):
            for order_id, partition, offset in origins(forwards, plan.topic(ORDERS)):
                forwarded.add(partition, offset)
                due[order_id.bytes] = _AT_ONCE
        async for unpassed in self._unpassed_orders(plan):
            due[unpassed] = _AT_ONCE
        for order_id_, case in self._open.items():
            self._open[order_id_] = replace(case, due_ms=due[order_id_][1] if order_id_ in due else None)
        return forwarded

    async def _unpassed_orders(self, plan: Plan) -> AsyncIterator[bytes]:
        read = OrderReader(self._settings).read
        async for records in self._topics.read(plan.topic(ORDERS), plan.unpassed(ORDERS)):
            for record in records:
                try:
                    yield read(record).order_id.bytes
                except InvalidOrder:
                    continue


def _after(known: StatusFacts | None, status: tuple[bytes, bytes, int, int, int]) -> StatusFacts | None:
    """History's own faults in the new records are the next audit's."""
    return next_status(known, status, lambda fault, what: None)
