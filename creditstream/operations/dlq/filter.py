"""PURE: which dead letters an operator means."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from creditstream.operations.dead_letter import Letter


class Filter(NamedTuple):
    """Which letters are meant: all that is given must hold. Offsets and partition are the origin's."""

    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    order_id: UUID | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None
    topic: str = ""

    def takes(self, letter: Letter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (self.partition is None or letter.original_partition == self.partition)
            and (self.from_offset is None or letter.original_offset >= self.from_offset)
            and (self.to_offset is None or letter.original_offset <= self.to_offset)
            and (not self.topic or letter.topic == self.topic)
            and (self.order_id is None or _mentions(letter, self.order_id))
        )

    @property
    def takes_all(self) -> bool:
        return self == Filter()


def _mentions(letter: Letter, order_id: UUID) -> bool:
    """A record that is no JSON may still have the id in it."""
    found = letter.order_id
    return found == order_id if found else str(order_id).encode() in (letter.value or b"").lower()
