"""PURE: the records of a world, as producers send them, with what is known of each."""

import random
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from creditstream.order.home_partition import home_partition
from creditstream.simulation.mix import Kind, Line, make_mix
from tests.simulation.clocks import BEGINNING
from tests.simulation.past import make_repeats

_CUSTOMERS = ("down-", "refuse-", "nofile-", "slow-")


class Sent(NamedTuple):
    """One record. `order_id` None: it is no order, and has to become a dead letter."""

    kind: Kind
    value: bytes
    order_id: UUID | None
    partition: int
    key: bytes | None


def make_load(seed: int, records: int, partitions: int) -> list[Sent]:
    """Most orders are plain. Some are repeated, contradicted, of strange customers, of a product without a rule."""
    dice = random.Random(seed ^ 0x10AD)
    repeats, conflicts, spoiled = records // 6, records // 25, records // 25
    orders = records - repeats - conflicts - spoiled
    begin = datetime.fromtimestamp(BEGINNING, UTC)
    lines = make_mix(orders, repeats, conflicts, spoiled, seed, now=begin)
    changes = {line.order_id: _change(dice) for line in lines if line.kind == "order"}
    return [_sent(dice, line.kind, _changed(line, changes), line.order_id, partitions) for line in lines]


def make_later_load(seed: int, partitions: int) -> list[Sent]:
    """What comes of the orders of the past."""
    dice = random.Random(seed ^ 0x1A7)
    return [_sent(dice, line.kind, line.value, line.order_id, partitions) for line in make_repeats(seed)]


def make_more(seed: int, orders: int, partitions: int) -> list[Sent]:
    """Orders that come beside the load."""
    begin = datetime.fromtimestamp(BEGINNING, UTC)
    lines = make_mix(orders, 0, 0, 0, seed, now=begin)
    return [_sent(random.Random(seed), line.kind, line.value, line.order_id, partitions) for line in lines]


def _change(dice: random.Random) -> tuple[bytes, bytes] | None:
    chance = dice.random()
    if chance < 0.03:
        return b'"customer_id":"c-', b'"customer_id":"' + dice.choice(_CUSTOMERS).encode()
    return None


def _changed(line: Line, changes: dict[UUID | None, tuple[bytes, bytes] | None]) -> bytes:
    change = changes.get(line.order_id)
    value = line.value
    if change is None:
        return value
    old, new = change
    return value.replace(old, new).replace(old.replace(b":", b" : "), new.replace(b":", b" : "))


def _sent(dice: random.Random, kind: Kind, value: bytes, order_id: UUID | None, partitions: int) -> Sent:
    if order_id is not None and dice.random() < 0.6:
        return Sent(kind, value, order_id, home_partition(order_id, partitions), str(order_id).encode())
    return Sent(kind, value, order_id, dice.randrange(partitions), None)
