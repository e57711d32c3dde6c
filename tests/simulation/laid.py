"""What the past's orders have left on the servers when a world begins."""

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from creditstream.kafka.topics import ORDER_STATUS, SEEN_CHANGELOG
from creditstream.order.home_partition import home_partition
from schemas.status import Row, encode_status
from tests.simulation.clocks import BEGINNING
from tests.simulation.dropping import Dropped
from tests.simulation.kafka.log import built
from tests.simulation.months import month_of
from tests.simulation.past import DROPPED_BEFORE, REMEMBERED, Old

if TYPE_CHECKING:
    from tests.simulation.world import World


def lay(world: "World", past: list[Old]) -> None:
    """Rows, ids, statuses and marks. Of the month that was dropped before there are ids and tombstones."""
    for old in past:
        _lay_row(world, old.row)
        _append(world, ORDER_STATUS, old.row, str(old.row.order_id).encode(), encode_status(old.row))
        if old.is_marked:
            _append(world, SEEN_CHANGELOG, old.row, old.row.order_id.bytes, old.row.fingerprint)
    gone = [old.row for old in past if old.back == REMEMBERED]
    if gone:
        _drop(world, gone)


def _lay_row(world: "World", row: Row) -> None:
    held: dict[str, Any] = msgspec.to_builtins(row)
    held["fingerprint"] = base64.b64encode(row.fingerprint).decode()
    order_id, server = held["order_id"], world.postgres
    server.months.make(month_of(held))
    server.rows[order_id] = held
    server.keys[order_id] = {name: held[name] for name in ("created_at", "fingerprint")}


def _drop(world: "World", gone: list[Row]) -> None:
    """As `retention` did, three months ago."""
    dropping, server = world.faults.operators.dropping, world.postgres
    month, then = f"{gone[0].created_at:%Y-%m}", datetime.fromtimestamp(BEGINNING, UTC) - DROPPED_BEFORE
    number = server.months.attached[month]
    dropping.gone |= server.months.end_detach(month, server.rows)
    del server.months.detached[number]
    dropping.months[month] = Dropped(number, is_begun=False, dropped_at=then, published_at=then)
    for row in gone:
        _append(world, ORDER_STATUS, row, str(row.order_id).encode(), None)


def _append(world: "World", topic: str, row: Row, key: bytes, value: bytes | None) -> None:
    home = home_partition(row.order_id, world.partitions)
    world.broker.append(world.topic(topic), home, built([(key, value, ())], world.now_ms()))
