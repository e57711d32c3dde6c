"""Which worker runs which version: forward one by one, then back, and so on."""

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

Way = Literal["upgrade", "rollback"]


class Roll(NamedTuple):
    """`first`: the first one on this way; before it, an upgrade migrates the database."""

    number: int
    way: Way
    first: bool


class Rolling:
    """`old`: numbers of the workers that run the previous version, or will when they are started again."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.old = set(numbers)
        self._way: Way = "rollback"  # all are old: the first roll turns round

    def next(self, running: Collection[int]) -> Roll:
        """Who of `running` is next, and it counts as done. The last one upgraded is the first one back."""
        old, new = sorted(self.old.intersection(running)), sorted(set(running) - self.old)
        before = self._way
        if not (old if before == "upgrade" else new):
            self._way = "rollback" if before == "upgrade" else "upgrade"
        number = old[0] if self._way == "upgrade" else new[-1]
        self.old ^= {number}
        return Roll(number, self._way, self._way != before)
