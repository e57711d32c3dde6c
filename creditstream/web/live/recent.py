"""PURE: the last changes of `order-status`, and tokens that say where in the topic a page's stream stands."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: A page that comes back within so many changes goes on where it stopped: at 3,000 a second seven seconds, and each
#: keeps about 700 bytes.
KEPT = 20_000
_MOST = 2**63


class Change(NamedTuple):
    """One record of `order-status`: where it stands, and its value, which is one line of JSON."""

    partition: int
    offset: int
    data: bytes


class Recent:
    """The changes in the order in which this worker read them; all pages get them in this order."""

    def __init__(self, positions: Sequence[int], kept: int = KEPT) -> None:
        """`positions`: the offset to be read next, of each partition."""
        self.positions = list(positions)
        self._words = [_word(position) for position in positions]
        #: From these offsets on, all changes are here.
        self._from = list(positions)
        self._changes: deque[Change] = deque()
        self._kept = kept

    def add(self, change: Change) -> None:
        partition, offset, _ = change
        if offset < self.positions[partition]:  # the topic was made anew
            self._from[partition] = offset
        self.positions[partition] = offset + 1
        self._words[partition] = _word(offset + 1)
        self._changes.append(change)
        if len(self._changes) > self._kept:
            gone = self._changes.popleft()
            self._from[gone.partition] = gone.offset + 1

    def token(self) -> str:
        """Where a stream stands that has been given all changes so far: each partition's position, in hex.

        It holds in every worker, whatever order that one reads the partitions in, and says nothing but a place.
        """
        return ".".join(self._words)

    def parse(self, token: str | None) -> list[int] | None:
        """The positions in `token`; None when it is none of this topic's. A forged one is just another place."""
        words = token.split(".") if token else []
        if len(words) != len(self.positions):
            return None
        try:
            positions = [int(word, 16) for word in words]
        except ValueError:
            return None
        return positions if all(0 <= position < _MOST for position in positions) else None

    def is_ahead(self, positions: Sequence[int]) -> bool:
        """Whether another worker had read further than this one when it gave that token."""
        return any(theirs > ours for theirs, ours in zip(positions, self.positions, strict=True))

    def since(self, positions: Sequence[int]) -> list[Change] | None:
        """The changes from `positions` on. None: some of them are no longer here, or not here yet."""
        if self.is_ahead(positions):
            return None
        if any(theirs < first for theirs, first in zip(positions, self._from, strict=True)):
            return None
        return [change for change in self._changes if change.offset >= positions[change.partition]]

    def extend(self, changes: Iterable[Change]) -> list[tuple[str, bytes]]:
        """Add the changes. Returns (token after it, data) of each: what a page is sent."""
        sent = []
        for change in changes:
            self.add(change)
            sent.append((self.token(), change.data))
        return sent

    def replay(self, positions: Sequence[int]) -> list[tuple[str, bytes]] | None:
        """As `extend`, for a page that stood at `positions`."""
        changes = self.since(positions)
        if changes is None:
            return None
        words, sent = [_word(position) for position in positions], []
        for partition, offset, data in changes:
            words[partition] = _word(offset + 1)
            sent.append((".".join(words), data))
        return sent


def _word(position: int) -> str:
    return f"{position:x}"
