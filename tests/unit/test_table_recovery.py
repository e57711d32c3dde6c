"""Faust's recovery of tables goes on until it is done: no step that fails or takes long ends it, or the worker."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP

from creditstream.kafka import recovery
from creditstream.kafka.recovery import PatientRecovery, PatientTables

_HERE = TP("seen-changelog", 0)


class Consumer:
    """Kafka says where the log begins and ends after two failures."""

    def __init__(self) -> None:
        self._failures = [KafkaTimeoutError(), TimeoutError()]

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        if self._failures:
            raise self._failures.pop()
        return dict.fromkeys(tps, 7)

    earliest_offsets = highwaters


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> PatientRecovery:
    async def told() -> PatientRecovery:
        app = SimpleNamespace(conf=SimpleNamespace(stream_recovery_delay=0.0), assignor=None)
        made = PatientRecovery(cast(Any, app), cast(Any, SimpleNamespace()))
        made.log = cast(Any, logging.getLogger("test"))
        return made

    monkeypatch.setattr(recovery, "RETRY", 0.0)
    return asyncio.run(told())


@pytest.mark.parametrize("step", ["_build_highwaters", "_build_offsets"])
def test_where_a_log_begins_and_ends_is_asked_until_it_is_told(patient: PatientRecovery, step: str) -> None:
    found: dict[TP, int | None] = {_HERE: None}
    asyncio.run(getattr(patient, step)(Consumer(), {_HERE}, found, "active"))
    assert found == {_HERE: 6}


def test_a_step_that_is_longer_than_faust_waits_is_no_stop(patient: PatientRecovery) -> None:
    """Faust's own ends there for good."""

    async def play() -> None:
        goes_on = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, goes_on.set)
        await patient._wait(goes_on.wait(), timeout=0.001)
        assert goes_on.is_set()
        with pytest.raises(ServiceStopped):
            await Recovery._wait(patient, asyncio.sleep(1), timeout=0.001)
        patient.signal_recovery_start.set()
        with pytest.raises(RebalanceAgain):
            await patient._wait(asyncio.sleep(1), timeout=0.001)

    asyncio.run(play())


def test_the_tables_have_one_recovery_and_it_is_patient(patient: PatientRecovery) -> None:
    async def made() -> tuple[Recovery, Recovery]:
        tables = PatientTables(patient.app)
        return tables.recovery, tables.recovery

    first, second = asyncio.run(made())
    assert first is second and isinstance(first, PatientRecovery)
