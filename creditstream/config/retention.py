"""PURE: calendar months, in UTC."""

from datetime import UTC, datetime


def months_before(now: datetime, months: int) -> datetime:
    """The first moment of the month that lies so many months before the one of `now`."""
    total = now.year * 12 + now.month - 1 - months
    return datetime(total // 12, total % 12 + 1, 1, tzinfo=UTC)
