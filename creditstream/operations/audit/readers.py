"""Reads one book of the audit into a ledger."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from aiokafka import TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Bounds, Records, Topics
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, ORDERS_BY_ID, ORDERS_DEAD_LETTER, ORDERS_RETRY, topic_name
from creditstream.operations.audit.judge import LETTERS_OF_WAITING
from creditstream.operations.audit.ledger import Ledger, order_id_of
from creditstream.operations.dead_letter import Fetched, Letter, read_letter
from creditstream.order.record_time import LAST_MS, RecordTimes, moment
from creditstream.store.pages import read_removed, read_rows
from schemas.dead_letter import REMOVED_UNREAD
from schemas.headers import DUE, ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TOPIC, REMOVED_UNTIL, number
from schemas.order import InvalidOrder, Order, decode_order

Advance = Callable[[int], object]
Offsets = Mapping[TopicPartition, int]
#: The topics that a worker takes orders from.
SOURCES = (ORDERS, ORDERS_BY_ID, ORDERS_RETRY)
ALL = (*SOURCES, ORDERS_DEAD_LETTER, ORDER_STATUS)


class Plan(NamedTuple):
    """What all readers of one audit agree on: where the topics end, and how far the group was before that."""

    settings: Settings
    bounds: Bounds
    passed: Offsets

    def topic(self, name: str) -> str:
        return topic_name(self.settings, name)

    def of(self, name: str, partitions: range | None = None) -> list[TopicPartition]:
        """The topic's partitions."""
        found = [where for where in self.bounds.ends if where.topic == self.topic(name)]
        return [where for where in found if partitions is None or where.partition in partitions]

    def unpassed(self, name: str) -> dict[TopicPartition, int]:
        """From where on the group has not passed the topic's records."""
        return {where: self.passed.get(where, 0) for where in self.of(name)}

    @property
    def passed_orders(self) -> dict[int, int]:
        """The group's offset of each partition of `orders`."""
        return {where.partition: offset for where, offset in self.passed.items() if where.topic == self.topic(ORDERS)}


class OrderReader:
    """By the product's own rules on purpose: what is an order is not the audit's to judge."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.order_max_bytes
        self._times = RecordTimes(lambda: datetime.now(UTC), timedelta(seconds=settings.clock_skew))

    def read(self, record: Fetched) -> Order:
        """A record of `orders`. Raises InvalidOrder."""
        latest = self._times.latest(record.timestamp, ours=False)
        return decode_order(record.value, latest=latest, max_bytes=self._limit)


async def read_orders(
    plan: Plan, topics: Topics, ledger: Ledger, advance: Advance, partitions: range | None = None
) -> None:
    read = OrderReader(plan.settings).read
    since = dict.fromkeys(plan.of(ORDERS, partitions), 0)
    async for records in topics.read(plan.topic(ORDERS), since):
        for record in records:
            try:
                order = read(record)
            except InvalidOrder as error:
                ledger.add_invalid(record.partition, record.offset, error.reason)
            else:
                ledger.add_order(record.partition, record.offset, order.order_id, order.fingerprint())
        advance(len(records))


async def read_statuses(
    plan: Plan, topics: Topics, ledger: Ledger, advance: Advance, partitions: range | None = None
) -> None:
    since = dict.fromkeys(plan.of(ORDER_STATUS, partitions), 0)
    async for records in topics.read(plan.topic(ORDER_STATUS), since):
        for record in records:
            ledger.add_status(record.partition, record.offset, record.key, record.value)
        advance(len(records))


async def read_the_rows(plan: Plan, ledger: Ledger, advance: Advance) -> None:
    """From the replica, if there is one: what it does not know yet is asked of the primary later."""
    async for page in read_rows(plan.settings, replica=True):
        for row in page:
            ledger.add_row(row)
        advance(len(page))


async def read_small(plan: Plan, topics: Topics, ledger: Ledger, advance: Advance) -> None:
    """Dead letters, what is not passed on `orders-by-id` and `orders-retry`, and orders whose row is gone."""
    orders = plan.topic(ORDERS)
    async for records in topics.read(plan.topic(ORDERS_DEAD_LETTER)):
        for letter in map(read_letter, records):
            topic = None if letter.topic == orders else letter.topic
            ledger.add_letter(topic, letter.original_partition, letter.original_offset, letter.reason)
            if letter.reason == REMOVED_UNREAD and (until := number(dict(letter.headers).get(REMOVED_UNTIL))):
                ledger.add_jump(letter.topic, letter.original_partition, letter.original_offset, until)
            if order := about(letter):
                waits = letter.reason in LETTERS_OF_WAITING
                ledger.add_letter_about(order.order_id, order.fingerprint(), waits=waits)
        advance(len(records))
    async for forwards in topics.read(plan.topic(ORDERS_BY_ID), plan.unpassed(ORDERS_BY_ID)):
        for order_id, partition, offset in origins(forwards, orders):
            ledger.add_forwarded(order_id, partition, offset)
    async for waiting in topics.read(plan.topic(ORDERS_RETRY), plan.unpassed(ORDERS_RETRY)):
        for order_id, offset, due_ms in attempts(waiting, plan.settings):
            ledger.add_waiting(order_id, offset, due_ms)
    async for ids in read_removed(plan.settings, replica=True):
        for order_id in ids:
            ledger.add_removed(order_id)


def about(letter: Letter) -> Order | None:
    """The order that a letter is about, if it is not about a conflict with it; None too when it holds no whole one."""
    if letter.reason == "conflict" or not letter.is_whole:
        return None
    try:
        return decode_order(letter.value, latest=moment(LAST_MS), max_bytes=len(letter.value or b""))
    except InvalidOrder:
        return None


def origins(forwards: Records, orders: str) -> Iterator[tuple[UUID, int, int]]:
    """Of records on `orders-by-id`: whose they are, and where each first stood on `orders`."""
    for record in forwards:
        said = dict(record.headers or ())
        partition, offset = number(said.get(ORIGINAL_PARTITION)), number(said.get(ORIGINAL_OFFSET))
        order_id = order_id_of(record.key)
        if order_id and said.get(ORIGINAL_TOPIC) == orders.encode() and partition is not None and offset is not None:
            yield order_id, partition, offset


def attempts(waiting: Records, settings: Settings) -> Iterator[tuple[UUID, int, int]]:
    """Of records on `orders-retry`: whose they are, the offset, and when each is due in ms: at once if none says.

    A worker lets none wait for longer than its rule allows, whatever the record says.
    """
    longest_ms = int(max(settings.retry_delay, settings.retry_max_delay) * 1500)
    for record in waiting:
        if order_id := order_id_of(record.key):
            due_ms = number(dict(record.headers or ()).get(DUE)) or 0
            yield order_id, record.offset, min(due_ms, record.timestamp + longest_ms)
