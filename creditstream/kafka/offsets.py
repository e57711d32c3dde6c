"""PURE: what one partition's records are allowed to do: be delivered in order, be committed as a contiguous prefix."""

from collections import deque
from enum import Enum
from typing import NamedTuple

from creditstream.kafka.finished import Finished
from creditstream.kafka.watchdog import Standing


class Admission(Enum):
    """What to do with a record that was fetched."""

    DELIVER = "deliver"
    SEEK_BACK = "seek back"
    BEGIN_AGAIN = "begin again"


class StartingPoint(NamedTuple):
    """Where a partition is read from, and where its log ends."""

    start: int
    end: int
    #: The committed offset, when Kafka has removed what stood there: nobody has read it.
    gone_from: int | None = None
    #: Whether the group has committed an offset at all.
    is_known: bool = True


class Progress:
    """One partition since positions were taken: the offset expected next, and the contiguous prefix that is done.

    A rebalance makes another one, and so does a log that was cut: what was delivered before counts for nothing there.
    `position` is the offset to commit: every record before it is done (I3). `expected` is the next to deliver (I8).
    """

    __slots__ = (
        "_doubted",
        "_finished",
        "_holes",
        "_open",
        "_stamps",
        "committed",
        "expected",
        "position",
        "replay_until",
    )

    def __init__(self, start: int, *, replay_until: int = 0, is_known: bool = True) -> None:
        """`is_known`: the group has committed `start`."""
        self.expected = self.position = start
        #: As far as the group knows; None if what it knows is no offset of this log.
        self.committed: int | None = start if is_known else None
        #: Records before this offset may have been handled by an earlier owner of the partition.
        self.replay_until = replay_until
        self._finished = Finished()
        self._open = 0
        self._holes: dict[int, int] = {}
        self._doubted: int | None = None
        #: Offsets and times (ms) of a few records: the first of each batch delivered that may not be done.
        self._stamps: deque[tuple[int, int]] = deque()

    def admit(self, offset: int) -> Admission:
        """Judge the next record fetched. SEEK_BACK: the caller seeks to `expected` and reads again. BEGIN_AGAIN: the
        log was cut, and it goes on with `after_cut`; the client goes back by itself only if nothing is at its position.

        A jump is a hole in the log (transaction markers, retention) only when a read that follows the seek shows it
        again; otherwise records were fetched and thrown away, and the seek brings them back.
        """
        if offset < self.expected:
            return Admission.BEGIN_AGAIN
        if offset > self.expected:
            if self._doubted is None or offset < self._doubted:
                self._doubted = offset
                return Admission.SEEK_BACK
            self._skip_to(offset)
        self._doubted = None
        self.expected = offset + 1
        self._open += 1
        return Admission.DELIVER

    def is_gone(self, offset: int) -> bool:
        """Whether a record at `offset`, fetched next, shows for the second time that what is expected is gone."""
        return offset > self.expected and self._doubted is not None and offset >= self._doubted

    def after_cut(self, offset: int) -> "Progress":
        """For the log as it is now, from `offset` on. Some of its records may be those that were handled before."""
        again = Progress(offset, replay_until=max(self.expected, self.replay_until))
        again.committed = None
        return again

    @property
    def to_commit(self) -> bool:
        """Whether the group knows another offset than `position`: after a cut it may be a greater one."""
        return self.position != self.committed

    def pass_over(self, after: int, until: int) -> None:
        """The log is known to hold nothing from `after` to before `until`: markers, or what a producer aborted.

        Without effect when records before `after` were not delivered: they have to be read again first.
        """
        if after <= self.expected < until:
            self._doubted = None
            self._skip_to(until)

    def finish(self, offset: int) -> None:
        """The record at `offset`, delivered before, is done. Out of order is fine; twice is harmless."""
        if not self.position <= offset < self.expected:
            return
        if offset == self.position and not self._finished and not self._holes:
            self._open -= 1
            self.position += 1
        elif self._finished.add(offset):
            self._open -= 1
            self._advance()

    @property
    def unfinished(self) -> int:
        """How many delivered records are not yet part of the prefix (holes and finished ones behind a gap count)."""
        return self.expected - self.position

    def standing(self, end: int) -> Standing:
        """For the watchdog. `end`: the offset after the partition's last record."""
        return Standing(self.position, end, self.expected, self._open)

    def stamp(self, offset: int, timestamp_ms: int) -> None:
        """When the first record of a batch that is delivered now was written."""
        self._forget_stamps()
        self._stamps.append((offset, timestamp_ms))

    def oldest_ms(self) -> int | None:
        """When the oldest delivered record that is not done was written, to the exactness of a batch; None: all are."""
        self._forget_stamps()
        return self._stamps[0][1] if self._stamps and self.position < self.expected else None

    def _forget_stamps(self) -> None:
        while len(self._stamps) > 1 and self._stamps[1][0] <= self.position:
            self._stamps.popleft()

    def _skip_to(self, offset: int) -> None:
        self._holes[self.expected] = offset
        self.expected = offset
        self._advance()

    def _advance(self) -> None:
        while True:
            self.position = self._finished.end_of_run(self.position)
            if self.position not in self._holes:
                return
            self.position = self._holes.pop(self.position)
