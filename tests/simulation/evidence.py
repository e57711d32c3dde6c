"""What was sent, and what Kafka has taken since: letters, forwards, tries, statuses, by which the checks judge."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from creditstream.operations.dead_letter import REPLAY_OF
from schemas.headers import DUE, number
from tests.simulation.clocks import BEGINNING
from tests.simulation.load import Sent

Place = tuple[str, int, int]
"""A topic without its prefix, a partition, an offset."""


class Evidence:
    """Told of every record that Kafka takes. `complain`: something is wrong with it."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self.complain = complain
        self.sent: dict[Place, Sent] = {}
        #: By the place of the record that it is about: the reason.
        self.letters: dict[Place, str] = {}
        self.letters_of: dict[UUID, set[str]] = defaultdict(set)
        #: By the place of the record that went to its home partition: where it stands there. Growth moves homes.
        self.forwarded: dict[Place, Place] = {}
        #: Of a record on one of our own topics: where it came from.
        self.origins: dict[Place, Place] = {}
        #: Of an order on `orders-retry`: partition and offset.
        self.tries: dict[UUID, list[tuple[int, int]]] = defaultdict(list)
        self.retries: dict[tuple[int, int], UUID] = {}
        #: Of an order's newest record there: its partition, and when it is due, in virtual seconds, by its writer.
        self.due: dict[UUID, tuple[int, float]] = {}
        self.versions: dict[UUID, int] = {}
        self.last: dict[UUID, bytes] = {}
        self.decisions: dict[UUID, set[bytes]] = defaultdict(set)
        #: Orders that `seen` was ever told of.
        self.marked: set[UUID] = set()

    def take(self, name: str, partition: int, record: Any) -> None:
        """A record of the topic of that name, without its prefix."""
        look = getattr(self, "_on_" + name.replace("-", "_"), None)
        if look is not None:
            look(record, partition)

    def _on_orders(self, record: Any, partition: int) -> None:
        """What an operator sends again is judged as what it was."""
        root = dict(record.headers).get(REPLAY_OF)
        if root is not None:
            topic, first, offset = root.decode().rsplit(":", 2)
            sent = self.sent.get((topic, int(first), int(offset)))
            if sent is not None:
                self.sent["orders", partition, record.offset] = sent

    def _on_orders_by_id(self, record: Any, partition: int) -> None:
        origin = _origin(record)
        if origin is None:
            self.complain("a forward does not say where it comes from")
            return
        place = ("orders-by-id", partition, record.offset)
        self.forwarded[origin], self.origins[place] = place, origin

    def _on_orders_dead_letter(self, record: Any, _partition: int) -> None:
        origin = _origin(record)
        if origin is None:
            self.complain("a dead letter does not say where it comes from")
            return
        reason = dict(record.headers).get("x-error-class", b"").decode()
        self.letters[origin] = reason
        order_id = order_id_of(record.value)
        if order_id is not None:
            self.letters_of[order_id].add(reason)

    def _on_orders_retry(self, record: Any, partition: int) -> None:
        order_id = UUID(record.key.decode())
        self.tries[order_id].append((partition, record.offset))
        self.retries[partition, record.offset] = order_id
        due = number(dict(record.headers).get(DUE))
        self.due[order_id] = (partition, 0.0 if due is None else due / 1000 - BEGINNING)
        origin = _origin(record)
        if origin is not None:
            self.origins["orders-retry", partition, record.offset] = origin

    def _on_order_status(self, record: Any, _partition: int) -> None:
        if record.value is None:
            for known in (self.versions, self.last, self.decisions):
                known.pop(UUID(record.key.decode()), None)
            return
        order_id, status = UUID(record.key.decode()), msgspec.json.decode(record.value)
        version, before = status["version"], self.versions.get(order_id, 0)
        if version < before:
            self.complain(f"I4: the status of {order_id} goes back from version {before} to {version}")
        self.versions[order_id] = version
        self.last[order_id] = record.value
        if status["status"] != "under_review":
            self.decisions[order_id].add(record.value)

    def _on_seen_changelog(self, record: Any, _partition: int) -> None:
        self.marked.add(UUID(bytes=record.key))


def _origin(record: Any) -> Place | None:
    headers = dict(record.headers)
    try:
        topic = headers["x-original-topic"].decode()
        return (topic, int(headers["x-original-partition"]), int(headers["x-original-offset"]))
    except (KeyError, ValueError, AttributeError):
        return None


def order_id_of(value: bytes | None) -> UUID | None:
    try:
        return UUID(msgspec.json.decode(value or b"")["order_id"])
    except (msgspec.DecodeError, TypeError, KeyError, ValueError, AttributeError):
        return None


def amount_of(value: bytes) -> Decimal:
    """Of an order's record, by which its content is told from another's."""
    return Decimal(str(msgspec.json.decode(value)["amount"]))
