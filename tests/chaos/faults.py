"""Every fault: what it does to the rig, for how long, and that it is over when it returns."""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle

from creditstream.config.load import load_settings
from creditstream.config.patience import patiently
from creditstream.store.migrations import migrate
from tests.chaos.operations import forget, grow, retention
from tests.chaos.pauses import read_pauses, wait_for_pauses
from tests.chaos.rig import ATTEMPT_TIMEOUT, RISK_LATENCY_MS, Rig, restart
from tests.chaos.schedule import KINDS, ROLL, Planned

Fault = Callable[[Rig, Planned], Awaitable[None]]
#: Two of an added worker's lives must not share a data directory by chance: added workers have numbers from here.
_ADDED_FROM = 100
#: How often a fault that comes and goes does so: several times within the deadline of one order.
_BEAT = 0.7


async def _kill(rig: Rig, planned: Planned) -> None:
    """SIGKILL; another takes over before it comes back."""
    number = rig.pick(planned.pick)
    rig.kill(number)
    rig.monitor.fault_over("kill")
    await asyncio.sleep(planned.hold)
    await rig.start(number)


async def _freeze(rig: Rig, planned: Planned) -> None:
    """SIGSTOP for longer than the session lasts, then SIGCONT: it wakes and does not know that it was dead."""
    number = rig.pick(planned.pick)
    rig.freeze(number)
    rig.monitor.fault_over("freeze")
    await asyncio.sleep(planned.hold)
    rig.thaw(number)


async def _stop(rig: Rig, planned: Planned) -> None:
    """SIGTERM, and back."""
    number = rig.pick(planned.pick)
    rig.monitor.fault_over("stop")
    await rig.stop(number)
    await asyncio.sleep(planned.hold)
    await rig.start(number)


async def _add(rig: Rig, planned: Planned) -> None:
    """One more worker, and away again."""
    number = _ADDED_FROM + int(planned.at)
    before = await read_pauses(rig)
    await rig.start(number)
    rig.monitor.fault_over("add")
    rig.pauses += await wait_for_pauses(rig, before)
    await asyncio.sleep(planned.hold)
    if number in rig.workers:
        await rig.stop(number)


async def _roll(rig: Rig, planned: Planned) -> None:
    """The next worker is stopped, and started with the other version; an upgrade migrates the database before."""
    number, way, first = rig.rolling.next(rig.running())
    if first and way == "upgrade":
        settings = load_settings(rig.environ)
        await patiently(settings, lambda: migrate(settings.postgres_dsn.reveal()))
    rig.monitor.fault_over("roll")
    await rig.stop(number)
    await rig.start(number)
    await asyncio.sleep(planned.hold)


async def _kill_all(rig: Rig, planned: Planned) -> None:
    numbers = sorted(rig.workers)
    for number in numbers:
        rig.kill(number)
    await asyncio.sleep(planned.hold)
    rig.monitor.fault_over("kill_all")
    await rig.start(*numbers)


async def _wipe(rig: Rig, planned: Planned) -> None:
    """SIGKILL, and its disk is lost too."""
    number = rig.pick(planned.pick)
    rig.kill(number)
    rig.monitor.fault_over("wipe")
    shutil.rmtree(rig.data(number), ignore_errors=True)
    await asyncio.sleep(planned.hold)
    await rig.start(number)


def _server(name: str, service: str, how: signal.Signals | None) -> Fault:
    async def fault(rig: Rig, planned: Planned) -> None:
        await restart(rig.service(service), how, planned.hold)
        rig.monitor.fault_over(name)

    return fault


def _broker(name: str, how: signal.Signals | None) -> Fault:
    async def fault(rig: Rig, planned: Planned) -> None:
        brokers = rig.brokers()
        await restart(brokers[int(planned.pick * len(brokers))], how, planned.hold)
        rig.monitor.fault_over(name)

    return fault


async def _postgres_cut(rig: Rig, planned: Planned) -> None:
    """Connections break again and again: by the network, and ended by an administrator."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'creditstream'"
    for turn in range(int(planned.hold / _BEAT)):
        if turn % 2:
            await rig.postgres.cut()
        else:
            await asyncio.to_thread(rig.service("postgres").ask, end)  # type: ignore[attr-defined]
        await asyncio.sleep(_BEAT)
    rig.monitor.fault_over("postgres_cut")


async def _postgres_stall(rig: Rig, planned: Planned) -> None:
    """Packets vanish: no error, no answer."""
    rig.postgres.stall()
    await asyncio.sleep(planned.hold)
    await rig.postgres.heal()
    rig.monitor.fault_over("postgres_stall")


async def _postgres_away(rig: Rig, planned: Planned) -> None:
    await rig.postgres.refuse()
    await asyncio.sleep(planned.hold)
    await rig.postgres.heal()
    rig.monitor.fault_over("postgres_away")


async def _risk_down(rig: Rig, planned: Planned) -> None:
    await rig.risk.refuse()
    await asyncio.sleep(planned.hold)
    await rig.risk.heal()
    rig.monitor.fault_over("risk_down")


async def _risk_reset(rig: Rig, planned: Planned) -> None:
    """Connections break: all at a time, and each in the middle of an answer."""
    for turn in range(int(planned.hold / _BEAT)):
        await rig.risk.cut()
        rig.risk.reset_after = 40 if turn % 2 else None
        await asyncio.sleep(_BEAT)
    await rig.risk.heal()
    rig.monitor.fault_over("risk_reset")


async def _risk_hang(rig: Rig, planned: Planned) -> None:
    rig.risk.stall()
    await asyncio.sleep(planned.hold)
    await rig.risk.heal()
    rig.monitor.fault_over("risk_hang")


async def _risk_5xx(rig: Rig, planned: Planned) -> None:
    await rig.set_risk(error_rate=0.9)
    await asyncio.sleep(planned.hold)
    await rig.set_risk(error_rate=0.0)
    rig.monitor.fault_over("risk_5xx")


async def _risk_garbage(rig: Rig, planned: Planned) -> None:
    """Answers that are none, of each kind, with good ones between them.

    Not those that are JSON without a score: they are outcomes, and the load has its share of them.
    """
    modes = cycle(("garbage", "html", "ok", "huge"))
    for _ in range(int(planned.hold / _BEAT)):
        await rig.set_risk(mode=next(modes))
        await asyncio.sleep(_BEAT)
    await rig.set_risk(mode="ok")
    rig.monitor.fault_over("risk_garbage")


async def _risk_rescore(rig: Rig, planned: Planned) -> None:
    """The first answer comes too late, the second call's score is another one (it is, during the whole run)."""
    slow = cycle((ATTEMPT_TIMEOUT * 1_000 + 200, RISK_LATENCY_MS))
    for _ in range(int(planned.hold / _BEAT)):
        await rig.set_risk(latency_ms=next(slow))
        await asyncio.sleep(_BEAT)
    await rig.set_risk(latency_ms=RISK_LATENCY_MS)
    rig.monitor.fault_over("risk_rescore")


FAULTS: Mapping[str, Fault] = {
    "kill": _kill,
    "freeze": _freeze,
    "stop": _stop,
    "add": _add,
    "kill_all": _kill_all,
    "wipe": _wipe,
    "roll": _roll,
    "broker_restart": _broker("broker_restart", None),
    "broker_kill": _broker("broker_kill", signal.SIGKILL),
    "postgres_fast": _server("postgres_fast", "postgres", signal.SIGINT),
    "postgres_immediate": _server("postgres_immediate", "postgres", signal.SIGQUIT),
    "postgres_cut": _postgres_cut,
    "postgres_stall": _postgres_stall,
    "postgres_away": _postgres_away,
    "redis_kill": _server("redis_kill", "redis", signal.SIGKILL),
    "risk_down": _risk_down,
    "risk_reset": _risk_reset,
    "risk_hang": _risk_hang,
    "risk_5xx": _risk_5xx,
    "risk_garbage": _risk_garbage,
    "risk_rescore": _risk_rescore,
    "grow": grow,
    "retention": retention,
    "forget": forget,
}
assert FAULTS.keys() == {*KINDS, ROLL.name}
