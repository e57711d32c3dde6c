"""Faust holds no stream back for a table, and no step that takes long ends the worker."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped

from creditstream.kafka.open_tables import OpenRecovery, OpenTables


@pytest.fixture
def app() -> Any:
    return SimpleNamespace(conf=SimpleNamespace(stream_recovery_delay=0.0), assignor=None)


def test_a_step_that_is_longer_than_faust_waits_is_no_stop(app: Any) -> None:
    """Faust's own ends there for good."""

    async def play() -> None:
        recovery = OpenRecovery(app, cast(Any, SimpleNamespace()))
        goes_on = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, goes_on.set)
        await recovery._wait(goes_on.wait(), timeout=0.001)
        assert goes_on.is_set()
        with pytest.raises(ServiceStopped):
            await Recovery._wait(recovery, asyncio.sleep(1), timeout=0.001)
        recovery.signal_recovery_start.set()
        with pytest.raises(RebalanceAgain):
            await recovery._wait(asyncio.sleep(1), timeout=0.001)

    asyncio.run(play())


def test_the_tables_have_one_recovery_and_it_recovers_none_of_them(app: Any) -> None:
    async def made() -> OpenTables:
        tables = OpenTables(app)
        tables["seen"] = cast(Any, SimpleNamespace(name="seen"))
        assert tables.recovery is tables.recovery
        return tables

    tables = asyncio.run(made())
    assert isinstance(tables.recovery, OpenRecovery)
    assert len(tables) == 1 and not tables, "Faust resumes all streams at once when there are none"
