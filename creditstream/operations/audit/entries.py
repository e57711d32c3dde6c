"""PURE: what an audit keeps of each record, row and status: a few fixed-width bytes, in buckets by a hash of the id."""

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE, WAITING

#: Ten million orders are 40,000 of one bucket: some 40 MB while they are compared.
BUCKETS = 256

APPROVED, REJECTED, UNDER_REVIEW = range(3)
#: Of a row under review the state says the reason: `UNDER_REVIEW` is any other than these.
_REASONS = (WAITING.reason, RISK_UNAVAILABLE, *sorted(FOR_A_PERSON))
_STATES = {reason: UNDER_REVIEW + number for number, reason in enumerate(_REASONS, start=1)}
_FIRST_FOR_A_PERSON = UNDER_REVIEW + 3

#: A record on `orders`: id, fingerprint, partition, offset.
ORDER = Struct("<16s16sHQ")
#: A record on `order-status`: id, digest, digest of the decision alone, partition, offset, version, kind.
STATUS = Struct("<16s16s16sHQqB")
UNDECIDED, DECIDED, DECIDED_FORGOTTEN, TOMBSTONE = range(4)
#: A row: id, fingerprint, digest of what is published of it, created_at in microseconds, version, state.
ROW = Struct("<16s16s16sqqB")
#: A record on `orders-by-id` or `orders-retry` that the group has not passed: id, offset, when it is due in ms.
PENDING = Struct("<16sQq")
#: Due at once: of `orders-by-id`.
AT_ONCE = 0
#: A dead letter about an order's very content: id, fingerprint, whether it is one of a row that waits for a person.
LETTER = Struct("<16s16s?")
#: An order whose row went with its month: id.
REMOVED = Struct("<16s")

KINDS = {"orders": ORDER, "statuses": STATUS, "rows": ROW, "pending": PENDING, "letters": LETTER, "removed": REMOVED}


class RowFacts(NamedTuple):
    """What is kept of a row, but for its id."""

    fingerprint: bytes
    published: bytes
    created_us: int
    version: int
    state: int

    @property
    def is_under_review(self) -> bool:
        return self.state >= UNDER_REVIEW

    @property
    def is_for_a_person(self) -> bool:
        return self.state >= _FIRST_FOR_A_PERSON

    @property
    def reason(self) -> str:
        """Of a row under review."""
        return _REASONS[self.state - UNDER_REVIEW - 1] if self.state > UNDER_REVIEW else "another reason"


class StatusFacts(NamedTuple):
    """The last status record of an order, and the decision that was published first."""

    partition: int
    version: int
    published: bytes
    final: bytes | None
    decided: bytes


class OrderFacts(NamedTuple):
    """A record on `orders`, but for its id."""

    partition: int
    offset: int
    fingerprint: bytes


def state_of(status: str, reason: str) -> int:
    """The state of a row."""
    if status == "under_review":
        return _STATES.get(reason, UNDER_REVIEW)
    return APPROVED if status == "approved" else REJECTED


def next_status(
    known: StatusFacts | None, status: tuple[bytes, bytes, int, int, int], complain: Callable[[str, str], object]
) -> StatusFacts | None:
    """The state of an order after one more record of the status topic: (digest, decision, partition, version, kind).

    None: its tombstone. `complain` is told of a fault, and what it is.
    """
    published, decided, partition, version, kind = status
    if kind == TOMBSTONE:
        return None
    final = published if kind != UNDECIDED else None
    if known is None:
        return StatusFacts(partition, version, published, final, decided)
    before = known.final
    if before is not None and before != published and kind == DECIDED_FORGOTTEN:
        same = decided == known.decided and version > known.version
        before = published if same else before
    if before is not None and before != published:
        complain("duplicated", "another status after the decision")
    elif partition != known.partition:
        complain("divergent", "status records on two partitions")
    elif version < known.version or (version == known.version and published != known.published):
        complain("divergent", "the version did not grow")
    return StatusFacts(partition, version, published, before if before is not None else final, decided)
