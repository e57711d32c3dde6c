"""`retention` after a run that was broken off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention import command
from creditstream.operations.retention.drop_months import Month, clean

_CUTOFF = datetime(2025, 1, 1, tzinfo=UTC)
_BEGUN, _OTHER = "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"


class Session:
    """Knows of a month whose drop was begun; `asked`: statements and their months."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def value(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        self.asked.append((name, (parameters or {}).get("month", "")))
        return 0

    async def patient_value(self, name: str, parameters: dict[str, Any]) -> Any:
        return "[]" if name == "expired_months" else await self.value(name, parameters)

    change = value

    async def json(self, name: str, _parameters: object = None) -> Any:
        return [_BEGUN] if name == "begun_months" else None


def test_a_month_whose_drop_was_begun_is_not_begun_again() -> None:
    """Found by the simulation: its table is gone by then, and the command ended with a traceback."""
    session, months = Session(), [Month(each, 3, 0, 0, 0) for each in (_BEGUN, _OTHER)]
    with progress_bars(shown=False) as bars:
        done = asyncio.run(clean(cast(Any, session), Settings(retention_keys_months=0), _CUTOFF, months, bars))
    assert done.months == ["2024-01", "2024-02"]
    assert [month for name, month in session.asked if name == "begin_drop"] == [_OTHER]


class Refusing(Session):
    """A server that can neither drop nor keep the month whose drop was begun. `is_away`: it answers nothing then."""

    def __init__(self, *, is_away: bool) -> None:
        super().__init__()
        self._is_away, self._has_refused = is_away, False

    async def value(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        if name == "keep_month" or (self._is_away and self._has_refused):
            self._has_refused = True
            raise StoreUnavailable("PostgreSQL: it cannot be attached")
        return datetime.now(UTC).isoformat() if name == "now" else await super().value(name, parameters)

    async def json(self, name: str, _parameters: object = None) -> Any:
        return [_BEGUN] if name == "begun_months" else []


def _run(session: Session, monkeypatch: pytest.MonkeyPatch) -> int:
    @asynccontextmanager
    async def only_one(*_given: object) -> AsyncIterator[Session]:
        yield session

    async def is_not(*_given: object) -> None:
        return

    monkeypatch.setattr(command, "only_one", only_one)
    monkeypatch.setattr(command, "refuse_taken_back", is_not)
    return asyncio.run(command.run(Settings(retention_keys_months=0), dry_run=False))


def test_a_month_that_could_neither_be_dropped_nor_kept_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(Refusing(is_away=False), monkeypatch) == 1
    said = capsys.readouterr()
    assert "2024-01: neither dropped nor kept: PostgreSQL: it cannot be attached" in said.err
    assert "0 months dropped" in said.out


def test_a_server_that_is_away_is_no_months_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUnavailable):
        _run(Refusing(is_away=True), monkeypatch)
