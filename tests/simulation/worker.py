"""One worker: the product's app as `faust -A creditstream worker` makes it, started, killed, frozen, stopped."""

import asyncio
import importlib.util
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import creditstream
from creditstream.config.settings import Settings
from creditstream.worker.app import CreditApp, create_app
from tests.simulation.clocks import WORKER
from tests.simulation.disk import Disk

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Of a busy machine: how often a callback has to wait, and seconds.
_PAUSES, _LONGEST_PAUSE = 0.05, 0.05
_AGENTS = ("agents.orders", "agents.orders_by_id", "agents.retries")


class Worker:
    """A machine: its disk and its clocks outlive the process that runs on it."""

    def __init__(self, world: "World", number: int, folder: Path, settings: Settings) -> None:
        self.world, self.number, self.settings = world, number, settings
        self.folder = folder
        self.disk = Disk()
        self.drift, self.offset = 0.0, 0.0
        self.life: Life | None = None
        #: By an operator: no supervisor starts it.
        self.is_stopped = False

    @property
    def lives(self) -> bool:
        return self.life is not None and not self.life.is_over

    def start(self) -> None:
        self.life = Life(self)
        self.life.begin()

    def start_if_down(self) -> None:
        """A supervisor's turn."""
        if not self.lives and not self.is_stopped:
            self.start()

    def kill(self) -> None:
        """As kill -9: nothing of it runs any more. What it has sent arrives."""
        if self.life is not None:
            self.life.kill()


class Life:
    """One process. Its callbacks and timers carry it with them (`WORKER`)."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.is_dead = self.is_frozen = self.has_ended = self._is_paused = False
        #: How often it has stood still: frozen, or on a busy machine.
        self.standstills = 0
        #: One of its loops was cancelled: it ends by that.
        self.has_strays = False
        self.app: CreditApp | None = None
        self.error: BaseException | None = None
        self._held: list[Any] = []
        self._context = Context()
        self._context.run(WORKER.set, self)
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def is_over(self) -> bool:
        return self.is_dead or self.has_ended

    # -- as `Clocks`

    def wall(self, now: float) -> float:
        return now + self.worker.offset

    def steady(self, now: float) -> float:
        return now * (1 + self.worker.drift) + 1_000.0

    def runs(self, handle: object) -> bool:
        if self.is_dead:
            return False
        if self.worker.world.is_busy and not self._is_paused:
            self._may_pause()
        if self.is_frozen or self._is_paused:
            self._held.append(handle)
            return False
        return True

    def _may_pause(self) -> None:
        world = self.worker.world
        self._is_paused = world.chance.random() < _PAUSES
        if self._is_paused:
            self.standstills += 1
            world.loop.call_later(world.chance.uniform(0.0, _LONGEST_PAUSE), self._go_on, context=Context())

    def _go_on(self) -> None:
        self._is_paused = False
        if not self.is_frozen:
            self._run_held()

    # -- its course

    def begin(self) -> None:
        loop = self.worker.world.loop
        self._tasks.append(self._context.run(loop.create_task, self._run()))

    async def _run(self) -> None:
        try:
            self.app = app = new_app(self.worker.settings)
            await app.runtime.check()
            await app.start()
            await app.wait_until_stopped()
            await app.stop()
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a worker that ends in an error is what the world looks for
            self.error = error
        self.has_ended = True
        if self.app is not None and self.app.crash_reason is not None:
            self.error = self.app.crash_reason
        self.worker.world.on_end(self)
        self.kill()  # whatever it has left behind ends with its process

    def stop(self) -> None:
        """As SIGTERM."""
        if self.app is not None and not self.is_over:
            self.worker.world.bounds.begin(self, "stop")
            loop = self.worker.world.loop
            self._tasks.append(self._context.run(loop.create_task, self.app.stop()))

    def end(self) -> None:
        """As `os._exit`, if it has not come to its end."""
        if not self.is_over:
            self.kill()
            self.worker.world.on_end(self)

    def kill(self) -> None:
        self.is_dead = True
        self._held.clear()
        self.worker.world.cut(self)

    def freeze(self) -> None:
        self.is_frozen = True
        self.standstills += 1

    def thaw(self) -> None:
        self.is_frozen = False
        if not self._is_paused:
            self._run_held()

    def _run_held(self) -> None:
        held, self._held = self._held, []
        self.worker.world.loop.run_again(held)


def new_app(settings: Settings) -> CreditApp:
    """An app of its own, with agents of its own: the modules attach to `creditstream.app`, one in each process."""
    app = create_app(settings)
    app.conf.web_enabled = False
    cast(Any, app.conf).autodiscover = list
    creditstream.__dict__["app"] = app
    for name in _AGENTS:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return app
