"""What may happen to a world, by the name that a plan's event has. Everything ends by itself, or when all is healed."""

import asyncio
from dataclasses import replace

from creditstream.simulation.risk_control import Control
from tests.simulation.clocks import now
from tests.simulation.oddities import Oddities
from tests.simulation.plan import Event
from tests.simulation.postgres import Trouble

_SUPERVISOR = 1.0


class Faults(Oddities):
    """Each method plays one kind of event to its end."""

    async def play(self, event: Event) -> None:
        await asyncio.sleep(max(0.0, event.at - self._world.played))
        self.active += 1
        await getattr(self, event.what)(event)
        self.active -= 1

    # -- workers

    async def kill(self, event: Event) -> None:
        worker = self._world.worker(event.worker)
        if worker.lives:
            worker.kill()
            await asyncio.sleep(event.lasts)
            worker.start_if_down()

    async def kill_and_lose_disk(self, event: Event) -> None:
        worker = self._world.worker(event.worker)
        if worker.lives:
            worker.kill()
            worker.disk.lose()
            await asyncio.sleep(event.lasts)
            worker.start_if_down()

    async def kill_and_damage_disk(self, event: Event) -> None:
        worker = self._world.worker(event.worker)
        if worker.lives:
            worker.kill()
            worker.disk.damage()
            await asyncio.sleep(event.lasts)
            worker.start_if_down()

    async def disk_damaged(self, event: Event) -> None:
        self._world.worker(event.worker).disk.damage()

    async def disk_full(self, event: Event) -> None:
        disk = self._world.worker(event.worker).disk
        disk.is_full = disk.was_full = True
        await asyncio.sleep(event.lasts)
        disk.is_full = False

    async def stop(self, event: Event) -> None:
        worker = self._world.worker(event.worker)
        if worker.life is not None and worker.lives:
            worker.life.stop()
            await asyncio.sleep(event.lasts)
            worker.start_if_down()

    async def freeze(self, event: Event) -> None:
        life = self._world.worker(event.worker).life
        if life is not None and not life.is_over and not life.is_frozen:
            life.freeze()
            await asyncio.sleep(event.lasts)
            life.thaw()

    async def join(self, _event: Event) -> None:
        self._world.add_worker().start()

    async def cut_off(self, event: Event) -> None:
        life = self._world.worker(event.worker).life
        self._world.network.cut_all(lambda connection: connection.life is life)

    async def clock_back(self, event: Event) -> None:
        self._world.worker(event.worker).offset -= event.lasts

    async def clock_ahead(self, event: Event) -> None:
        self._world.worker(event.worker).offset += event.lasts

    # -- PostgreSQL

    async def postgres_away(self, event: Event) -> None:
        await self._postgres(event, "away")

    async def postgres_read_only(self, event: Event) -> None:
        await self._postgres(event, "read-only")

    async def postgres_fails_over(self, event: Event) -> None:
        """What was asked has no answer. The standby has every commit, and takes none until it is promoted."""
        await self._postgres(replace(event, lasts=event.lasts / 2), "away")
        await self._postgres(replace(event, lasts=event.lasts / 2), "read-only")

    async def _postgres(self, event: Event, fault: str) -> None:
        server = self._world.postgres
        server.fault = fault
        await asyncio.sleep(event.lasts)
        server.fault = None

    async def postgres_loses_commits(self, event: Event) -> None:
        """An asynchronous standby is promoted and takes what comes at once: answers may still be on their way."""
        self.operators.losses.lose(now.seconds - event.lasts)

    async def postgres_is_restored(self, event: Event) -> None:
        server, since = self._world.postgres, now.seconds - event.lasts
        server.fault = "away"
        await asyncio.sleep(1.0 + event.lasts)
        self.operators.losses.lose(since)
        server.fault = None

    async def postgres_loses_answers(self, event: Event) -> None:
        server = self._world.postgres
        server.trouble = Trouble(before=event.share / 2, after=event.share)
        await asyncio.sleep(event.lasts)
        server.trouble = Trouble()

    async def postgres_slow(self, event: Event) -> None:
        server = self._world.postgres
        server.slowest = 1.5
        await asyncio.sleep(event.lasts)
        server.slowest = 0.02

    # -- the risk API

    async def risk_fails(self, event: Event) -> None:
        await self._risk(event, Control(error_rate=event.share * 3), Control(error_rate=0.0))

    async def risk_hangs(self, event: Event) -> None:
        await self._risk(event, Control(mode="hang"), Control(mode="ok"))

    async def risk_breaks(self, event: Event) -> None:
        await self._risk(event, Control(mode="reset"), Control(mode="ok"))

    async def risk_talks_nonsense(self, event: Event) -> None:
        await self._risk(event, Control(mode="html"), Control(mode="ok"))

    async def _risk(self, event: Event, change: Control, back: Control) -> None:
        self._world.risk.control(change)
        await asyncio.sleep(event.lasts)
        self._world.risk.control(back)
