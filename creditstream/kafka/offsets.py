"""PURE: what one partition's records are allowed to do: be delivered in order, be committed as a contiguous prefix."""

from collections import deque
from enum import Enum

from creditstream.kafka.finished import Finished
from creditstream.kafka.watchdog import Standing


class Admission(Enum):
    """What to do with a record that was fetched."""

    DELIVER = "deliver"
    DROP = "drop"
    SEEK_BACK = "seek back"


class Progress:
    """One partition in one generation: the offset expected next, and the contiguous prefix that is done.

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
        "generation",
        "position",
        "replay_until",
    )

    def __init__(self, start: int, *, generation: int = 0, replay_until: int = 0) -> None:
        self.expected = self.position = self.committed = start
        self.generation = generation
        #: Records before this offset may have been handled by an earlier owner of the partition.
        self.replay_until = replay_until
        self._finished = Finished()
        self._open = 0
        self._holes: dict[int, int] = {}
        self._doubted: int | None = None
        #: Offsets and times (ms) of a few records: the first of each batch delivered that may not be done.
        self._stamps: deque[tuple[int, int]] = deque()

    def admit(self, offset: int) -> Admission:
        """Judge the next record fetched. SEEK_BACK: the caller seeks to `expected` and reads again.

        A jump is a hole in the log (transaction markers, retention) only when a read that follows the seek shows it
        again; otherwise records were fetched and thrown away, and the seek brings them back.
        """
        if offset < self.expected:
            return Admission.DROP
        if offset > self.expected:
            if self._doubted is None or offset < self._doubted:
                self._doubted = offset
                return Admission.SEEK_BACK
            self._skip_to(offset)
        self._doubted = None
        self.expected = offset + 1
        self._open += 1
        return Admission.DELIVER

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
