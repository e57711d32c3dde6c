"""PURE: which time of a record is believed (docs/adr/0017). Milliseconds since 1970."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from schemas.order import OLDEST

_OLDEST_MS = int(OLDEST.timestamp() * 1000)
#: The calendar's last millisecond.
LAST_MS = 253_402_300_799_999
#: A clock that is wrong by more than a year is none. By less, it may be ours that is wrong: then the record's is
#: believed, rather than all orders refused.
_AHEAD_MS = 366 * 86_400_000


def believed_ms(timestamp_ms: int | None, now_ms: int, *, ours: bool = False) -> int:
    """The record's own time if a clock can have given it, otherwise now. `ours`: this program wrote the record.

    Not -1, 0, seconds, microseconds or a far future. Time goes on, so what was judged by now and was in time is in time
    when the record comes again.
    """
    last = LAST_MS if ours else min(LAST_MS, now_ms + _AHEAD_MS)
    return timestamp_ms if timestamp_ms is not None and _OLDEST_MS <= timestamp_ms <= last else now_ms


def moment(ms: int) -> datetime:
    """As a date. Only of a time that is believed: others may be outside the calendar."""
    return datetime.fromtimestamp(ms / 1000, UTC)


class RecordTimes:
    """`believed_ms` for many records: the clock is asked when a record is later than any that it has allowed so far."""

    def __init__(self, now: Callable[[], datetime], skew: timedelta) -> None:
        self._now, self._skew = now, skew
        self._until = 0
        self._last = 0, moment(0)

    def believed(self, timestamp_ms: int, *, ours: bool = False) -> int:
        if _OLDEST_MS <= timestamp_ms <= self._until:
            return timestamp_ms
        now_ms = int(self._now().timestamp() * 1000)
        self._until = min(LAST_MS, now_ms + _AHEAD_MS)
        return believed_ms(timestamp_ms, now_ms, ours=ours)

    def latest(self, timestamp_ms: int, *, ours: bool) -> datetime:
        """When an order of that record may have been created at the latest. Many come with the same millisecond."""
        written = self.believed(timestamp_ms, ours=ours)
        if self._last[0] != written:
            self._last = written, moment(written) + self._skew
        return self._last[1]
