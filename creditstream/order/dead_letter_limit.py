"""PURE: how many dead letters are too many. A bad deploy must not dead-letter a whole topic."""

from creditstream.order.stops import Stop

_SETTING = "CREDITSTREAM_DEAD_LETTER_LIMIT"


class DeadLetterLimit(Stop):
    """Counts records as they end. Exceeded by `most` letters in a row, or by `share` of the records of `window` seconds
    when the letters are at least `most`; then for `window` seconds, and forgotten after it. `most` 0: never."""

    def __init__(self, most: int, share: float, window: float) -> None:
        super().__init__(window)
        self._most, self._share = most, share
        self._row = 0

    def count(self, letter: bool, now: float) -> None:
        """A record has ended, as a letter or as something else."""
        self._ended.add(now, letter)
        self._row = self._row + 1 if letter else 0
        if letter and 0 < self._most <= max(self._row, self._ended.marked):
            self._judge(now)

    def forget(self) -> None:
        super().forget()
        self._row = 0

    def _judge(self, now: float) -> None:
        self._ended.pass_to(now)
        letters, total = self._ended.marked, self._ended.total
        if self._row >= self._most:
            self.stop(now, f"{self._row} records in a row became dead letters", _SETTING)
        elif letters >= self._most and letters > self._share * total:
            self.stop(now, f"{letters} of the last {total} records became dead letters", _SETTING)
