"""A seeded run of a minute and a half: every order decided once whatever is killed, frozen, cut and wiped meanwhile."""

import asyncio
from pathlib import Path

from rich.console import Console

from devtools.forks.client import forking
from devtools.programs import clean_environ
from tests.chaos.progress import Shown
from tests.chaos.report import render
from tests.chaos.runner import chaos
from tests.chaos.schedule import KINDS
from tests.support.servers import LOCAL

#: Any seed must be clean; this one's schedule has all kinds but these within the time.
_SEED = 2811
_NAMES = [name for name, kind in KINDS.items() if kind.lane != "operators"]
_LEFT_OUT = {"postgres_away", "postgres_stall", "risk_down", "risk_reset"}
#: Half of the usual pause between two faults: all of them fit into 85 s.
_PAUSE = 1.0
_MINUTES = 85 / 60
_RATE = 100.0


def test_every_order_is_decided_once_whatever_happens(tmp_path: Path) -> None:
    """Every second one of its programs begins as a user's does."""
    with forking(clean_environ(), every=2):
        result = asyncio.run(
            chaos(
                seed=_SEED,
                minutes=_MINUTES,
                names=_NAMES,
                rate=_RATE,
                pause=_PAUSE,
                root=tmp_path / "run",
                cache=LOCAL / "cache",
                show=Shown(print),
            )
        )
    render(Console(width=120), result)
    assert result.failures == []
    assert result.verdict.clean, result.verdict.examples
    assert result.verdict.orders > _RATE * _MINUTES * 60 * 0.8
    assert set(result.faults) == set(_NAMES) - _LEFT_OUT
