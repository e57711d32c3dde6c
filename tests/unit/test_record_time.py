"""Which time of a record is believed: a clock's, in the calendar, and not of a far future unless we wrote it."""

from datetime import UTC, datetime, timedelta

import pytest

from creditstream.order.record_time import LAST_MS, RecordTimes, believed_ms, moment
from schemas.order import OLDEST

_NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_NOW_MS = int(_NOW.timestamp() * 1000)
_DAY = 86_400_000
_OLDEST_MS = int(OLDEST.timestamp() * 1000)
_SKEW = timedelta(hours=24)


@pytest.mark.parametrize(
    ("given", "anybodys", "ours"),
    [
        (_NOW_MS, True, True),
        (_NOW_MS - 400 * _DAY, True, True),
        (_NOW_MS + 366 * _DAY, True, True),
        (_NOW_MS + 366 * _DAY + 1, False, True),
        (LAST_MS - 2 * _DAY, False, True),
        (LAST_MS + 1, False, False),
        (_OLDEST_MS, True, True),
        (_OLDEST_MS - 1, False, False),
        (0, False, False),
        (-1, False, False),
        (_NOW_MS * 1_000, False, False),
        (_NOW_MS // 1_000, False, False),
        (None, False, False),
    ],
)
def test_a_time_is_believed_or_it_is_now(given: int | None, anybodys: bool, ours: bool) -> None:
    for is_ours, believed in ((False, anybodys), (True, ours)):
        assert believed_ms(given, _NOW_MS, ours=is_ours) == (given if believed else _NOW_MS)
        if given is None:
            continue
        times = RecordTimes(lambda: _NOW, _SKEW)
        expected = given if believed else _NOW_MS
        for _ in range(2):
            assert times.believed(given, ours=is_ours) == expected
            assert times.latest(given, ours=is_ours) == moment(expected) + _SKEW


def test_the_calendars_last_millisecond_is_a_time() -> None:
    assert believed_ms(LAST_MS, _NOW_MS, ours=True) == LAST_MS


def test_each_record_has_its_own_latest_moment() -> None:
    times = RecordTimes(lambda: _NOW, _SKEW)
    for ms in (_NOW_MS, _NOW_MS, _NOW_MS + 1, _NOW_MS, _NOW_MS - 5):
        assert times.latest(ms, ours=False) == moment(ms) + _SKEW


def test_the_clock_is_asked_only_for_what_is_later_than_all_before() -> None:
    asked: list[None] = []

    def now() -> datetime:
        asked.append(None)
        return _NOW

    times = RecordTimes(now, _SKEW)
    for _ in range(3):
        times.believed(_NOW_MS)
    assert len(asked) == 1
    times.believed(_NOW_MS + 400 * _DAY)
    assert len(asked) == 2
