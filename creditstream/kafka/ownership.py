"""Who is told which partitions are this worker's, and what else the consumer asks of its app."""

from typing import Protocol

from faust.types import TP

from creditstream.metrics.instruments import Instruments


class Ownership(Protocol):
    """Told by the consumer which partitions are this worker's."""

    async def drain(self) -> None:
        """Lets orders in flight finish, within a bound, before partitions are given up."""
        ...

    def own(self, partitions: frozenset[int] | None, *, interrupted: bool = False) -> None:
        """None once a revoke is over; those that are this worker's, perhaps none at all, when all are in place.

        `interrupted`: a generation was missed, in which others may have had the same partitions.
        """
        ...

    def cut(self, tp: TP) -> None:
        """The partition's log was cut: what was delivered of it comes again, or is gone. Told before more is delivered.

        What is acknowledged by its old offsets counts for nothing.
        """
        ...


class CreditApp(Protocol):
    """What the consumer asks of its app, beside what Faust's has."""

    @property
    def ownership(self) -> Ownership: ...

    @property
    def instruments(self) -> Instruments: ...
