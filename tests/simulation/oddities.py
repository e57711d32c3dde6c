"""What happens rarely: a producer that repeats itself, a library that cancels its caller, a slow bureau."""

import asyncio
from typing import Any

from creditstream.simulation.risk_control import Control, Script
from tests.simulation.kafka.faults import KafkaFaults
from tests.simulation.plan import Event

_MOST_REPEATS, _MOST_REFUSED = 500, 600
#: As a world begins.
_LATENCY_MS = 20.0


class Oddities(KafkaFaults):
    """Each method plays one kind of event to its end."""

    async def repeats(self, event: Event) -> None:
        """Of the last order that was sent, on the partition on which it came."""
        sent = self._world.checks.sent
        last = next((each for each in reversed(sent.values()) if each.kind == "order"), None)
        if last is not None:
            self._world.producers.send(last.partition, [last] * round(event.share * _MOST_REPEATS))

    async def old_repeats(self, event: Event) -> None:
        """What `seen` tells, and PostgreSQL while it is being filled."""
        orders = [each for each in self._world.checks.sent.values() if each.kind == "order"]
        for each in orders[:: round(1 / max(0.02, event.share))]:
            self._world.producers.send(each.partition, [each])

    async def strange_batch(self, event: Event) -> None:
        self._world.producers.send_strange(event.worker % self._world.partitions)

    async def unforeseen(self, event: Event) -> None:
        """At one of the steps of their way: `tests.simulation.unforeseen`."""
        step = self._world.unforeseen.arm(event.worker, round(event.share * 10))
        await asyncio.sleep(event.lasts)
        self._world.unforeseen.disarm(step)

    async def stray(self, event: Event) -> None:
        """The worker ends by it, and a supervisor starts it again. Which of the loops: by the time of the event."""
        life = self._world.worker(event.worker).life
        loops: Any = life and life.app and life.app.runtime._loops
        if life is None or not loops or life.is_over or life.is_frozen:
            return
        tasks = sorted(loops._tasks, key=lambda task: int(task.get_name().removeprefix("Task-")))
        life.has_strays = True
        tasks[round(event.at * 1_000) % len(tasks)].cancel()

    async def busy(self, event: Event) -> None:
        self._world.is_busy = True
        await asyncio.sleep(event.lasts)
        self._world.is_busy = False

    async def risk_asks_to_wait(self, event: Event) -> None:
        refused = Script(status=503, retry_after="60")
        self._world.risk.control(Control(next=(refused,) * round(event.share * _MOST_REFUSED)))
        await asyncio.sleep(event.lasts)
        self._world.risk._next.clear()

    async def risk_slow(self, event: Event) -> None:
        self._world.risk.control(Control(latency_ms=event.share * 1_000))
        await asyncio.sleep(event.lasts)
        self._world.risk.control(Control(latency_ms=_LATENCY_MS))
