"""An order on its way, from its first delivery to its outcome."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from creditstream.order.ports import Refused
from creditstream.order.record import Record, Turn
from creditstream.order.reopening import Reopens
from schemas.decision import Decision
from schemas.order import Order
from schemas.status import Row, same_content


@dataclass(slots=True, eq=False)
class Flight:
    """An order between its first delivery and its outcome. Every delivery of the same content joins it."""

    order: Order
    fingerprint: bytes
    partition: int
    """Home partition: of the order's status record and its `seen` mark."""
    started: float
    first_ms: int
    """When its first record was written."""
    turn: Turn
    records: list[Record] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)
    """Records with the same id and other content, judged once this order has committed."""
    decision: Decision | None = None
    """The state wanted now; what counts is `row`."""
    outcome: str = ""
    """Why the order is over: "decided", "for_a_person" or "parked"; empty while the risk API is still asked."""
    row: Row | None = None
    reopens: Reopens | None = None
    """Somebody sent its letter again: the row that waits for a person, and may be changed."""
    replaces: int | None = None
    """That row's version, once it was looked up and found to be the one."""
    remembered: bytes | None = None
    """The fingerprint that `seen` holds of it: its records are repeats, or conflicts, of what PostgreSQL has."""
    is_repeat: bool = False
    """PostgreSQL has what `seen` holds of it: nothing is left to be done."""
    is_missed: bool = False
    """PostgreSQL did not have what `seen` holds, and was asked to account for it."""
    unanswered_since: float | None = None
    """By the loop's clock, when PostgreSQL could not say anything about it for the first time in a row."""
    doubted_since: float | None = None
    """Since when there is something that counts at last."""
    refused: bool = False
    """PostgreSQL will never take it: nothing is proposed of it any more, and it is over with its dead letters."""
    over: bool = False
    """Done, or given up because its partition went to another worker."""
    asking: asyncio.Task[Any] | None = None
    """Who asks the risk API about it now."""

    def end(self) -> None:
        """It is done, or another worker's: a call that is still made for it is cancelled."""
        self.over = True
        task, self.asking = self.asking, None
        if task is not None:
            task.cancel()

    def is_repeat_of(self, answer: Row | Refused) -> bool:
        """Whether `seen` holds it, and what PostgreSQL says of it is no other order."""
        if self.remembered is None:
            return False
        if isinstance(answer, Refused):  # the row is gone: what it said is remembered alone
            return same_content(self.remembered, self.fingerprint)
        return answer.is_of(self.fingerprint)

    @property
    def place(self) -> dict[str, object]:
        """The order and its first record, as fields of a log line."""
        return {"order_id": str(self.order.order_id), **self.records[0].place}


class Settled(NamedTuple):
    """What PostgreSQL answered for an order, and whether that ends its way."""

    flight: Flight
    answer: Row | Refused
    complete: bool
