"""`retention` after a run that was broken off."""

import asyncio
from typing import Any, cast

from creditstream.config.settings import Settings
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention.drop_months import Month, clean

_BEGUN, _OTHER = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"


class Session:
    """Knows of a month whose drop was begun; `asked`: statements and their months."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def value(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        self.asked.append((name, (parameters or {}).get("month", "")))
        return 0

    change = patient_value = value

    async def json(self, name: str, _parameters: object = None) -> Any:
        return [_BEGUN] if name == "begun_months" else None


def test_a_month_whose_drop_was_begun_is_not_begun_again() -> None:
    """Found by the simulation: its table is gone by then, and the command ended with a traceback."""
    session, months = Session(), [Month(each, 3, 0, 0, 0) for each in (_BEGUN, _OTHER)]
    with progress_bars(shown=False) as bars:
        done = asyncio.run(clean(cast(Any, session), Settings(retention_keys_months=0), months, bars))
    assert done.months == ["2024-01", "2024-02"]
    assert [month for name, month in session.asked if name == "begin_drop"] == [_OTHER]
