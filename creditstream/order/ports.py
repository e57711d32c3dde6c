"""What the pipeline needs from outside, as protocols: the real adapters and the fakes share one contract suite."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from creditstream.order.record import Record
from schemas.assessment import Assessment
from schemas.decision import Decision, Status
from schemas.headers import Headers
from schemas.order import Order
from schemas.status import Row


class Proposal(NamedTuple):
    """A state that the pipeline wants committed for an order. The committed row, not this, is what counts."""

    order: Order
    fingerprint: bytes
    decision: Decision
    replaces: int | None = None
    """The version of a row that waits for a person, which this may change: somebody sent the order's letter again."""


class Refused(NamedTuple):
    """PostgreSQL will never take this row: `reason` is a stable word, `message` holds no values."""

    reason: str
    message: str


class NotYet(NamedTuple):
    """PostgreSQL cannot say now, and this order alone waits: ask again in a moment."""

    at_last: Refused | None = None
    """What counts when that has gone on for too long; None: it waits for as long as it takes."""


Answer = Row | Refused | NotYet


class Mark(NamedTuple):
    """A commit. `version` 0: of the order no more is known than that it was settled. `removed_at`: its row was gone."""

    order_id: UUID
    created_at: datetime | None = None
    version: int = 0
    updated_at: datetime | None = None
    removed_at: datetime | None = None


class Store(Protocol):
    """The orders that are committed. First write wins: a settled row never changes, but for `Proposal.replaces`.

    Where commits are missing that this worker knows of, nothing is committed and nothing is found (StoreTakenBack).

    `waiting_for_risk` only ever makes a row. A worker that lost its partitions may commit it late, and would publish it
    no more: a row that it changed would differ from its last status.
    """

    async def commit(self, proposals: Sequence[Proposal]) -> Mapping[UUID, Answer]:
        """Commit all (one proposal per id) and answer for each id with the row that now stands, if that can be known.

        A new id becomes a row of version 1. `under_review` gives way to a decision or to another reason of
        `under_review`, but for waiting (version + 1), when the fingerprint is the same. One that waits for a person
        gives way only to a proposal that replaces its very version. Everything else leaves the row as it is.
        Raises StoreUnavailable when nothing is known to be committed: call again with the same proposals.
        """
        ...

    async def find(self, order_ids: Sequence[UUID]) -> Mapping[UUID, Answer]:
        """What is committed of those ids that are known: the row, or that it was removed, as `commit` refuses it.

        Raises StoreUnavailable.
        """
        ...

    def expect(self, marks: Iterable[Mark]) -> None:
        """These must be there, or their month was dropped: known from elsewhere."""
        ...


class Search(NamedTuple):
    """Filters of a list, each None when not wanted; `since` is included, `until` is not. `after`: a page's last row."""

    status: Status | None = None
    product: str | None = None
    customer: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, UUID] | None = None


class Risk(Protocol):
    """The external risk API."""

    async def assess(self, order: Order) -> Assessment:
        """One assessment, within the deadline, whatever number of attempts it takes.

        Raises RiskRefused when the API refuses this order for good, RiskUnusable when its answer has no usable score
        for this order, RiskUnavailable when it may pass later.
        """
        ...


class Outgoing(NamedTuple):
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Place(NamedTuple):
    """Where a record stands on its topic."""

    partition: int
    offset: int


class RetryTopic(Protocol):
    """`orders-retry`, read again where orders are due: `creditstream.worker.retry_topic`, or a test's."""

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        """The records at some of these places, at least at one unless none is this worker's; None for what is gone.

        A partition that cannot be read is left out. Each record acknowledges its own place, in the generation of this
        call. Raises BrokerUnavailable when no partition can be read.
        """
        ...

    def acknowledge(self, place: Place) -> None:
        """There is nothing at that place any more that could be done."""
        ...


class Publishes(Protocol):
    """What publishes records: Kafka's producer, or a test's list."""

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        """Publish to each partition its records, in order. Returns each partition's last offset.

        Raises BrokerUnavailable when any record's delivery is not certain: publish all of them again. Raises Unsendable
        when one of them will never be taken: publish the others without it.
        """
        ...
