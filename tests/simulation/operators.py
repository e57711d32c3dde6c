"""Operators at work: their commands, run again until they are done, while everything else happens."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

import creditstream.operations.grow.growth
import creditstream.operations.grow.repartition
from creditstream.errors import StartError, StoreTakenBack, StoreUnavailable, Unavailable, Unsendable
from creditstream.operations.dlq.actions import replay_letters
from creditstream.operations.dlq.filter import Filter
from creditstream.operations.forget.erasure import Forget
from creditstream.operations.grow.growth import grow
from creditstream.operations.progress import progress_bars
from creditstream.operations.restore.command import restore
from creditstream.operations.retention.drop_months import clean, cutoff_of, expired_months
from creditstream.operations.undisturbed import refuse_taken_back
from schemas.status import FORGOTTEN_CUSTOMER
from tests.simulation.maintenance import Operators
from tests.simulation.plan import Event

if TYPE_CHECKING:
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

#: Virtual seconds until a command that failed is run again, and within which one run has to come to its end.
_AGAIN, _ONE_RUN = 2.0, 150.0
#: Seconds between two looks at the workers.
_LOOKS = 1.5
#: What a command may end with: one line for a person, and an exit code.
_TOLD = (StartError, Unavailable, Unsendable, KafkaError)
_MORE_PARTITIONS = 2


class OperatorsWork:
    """Each method plays one kind of event to its end."""

    def __init__(self, world: "World") -> None:
        self._world = world
        #: A command was refused, since `restore` has to run.
        self._is_told = False
        self.operators = Operators(world.postgres)
        growth: Any = creditstream.operations.grow.growth
        growth.only_one = self.operators.only_one
        repartition: Any = creditstream.operations.grow.repartition
        repartition.read_rows = self.operators.read_rows

    async def forget(self, event: Event) -> None:
        """A customer who has an order that is settled."""
        rows = self._world.postgres.rows
        customers = sorted({row["customer_id"] for row in rows.values() if row["status"] != "under_review"})
        known = [each for each in customers if each != FORGOTTEN_CUSTOMER]
        if known:
            customer = known[round(event.share * 1_000) % len(known)]
            await self._until_done("forget", lambda: self._forget(customer))

    async def _forget(self, customer: str) -> bool:
        """Whether nothing is left to do."""
        async with self.operators.only_one(None, "forget") as session:
            with progress_bars(shown=False) as bars:
                work = Forget(self._world.workers[0].settings, session, customer, bars)
                if await work.refusal():
                    return False
                found = await work.look()
                if found.nothing:
                    return True
                await work.remains()
                done = await work.run("an operator", 15.0)
        return not (found.undecided or done.unpublished or done.behind)

    async def replay(self, _event: Event) -> None:
        """All dead letters, once."""
        await self._until_done("dlq replay", self._replay)

    async def _replay(self) -> bool:
        await replay_letters(self._world.workers[0].settings, Filter(), by="an operator", dry_run=False)
        return True

    async def retention(self, _event: Event) -> None:
        """Old months, and what earlier runs have left."""
        await self._until_done("retention", self._retention)

    async def _retention(self) -> bool:
        settings = self._world.workers[0].settings
        async with self.operators.only_one(None, "retention") as session:
            await refuse_taken_back(settings, "retention")  # as the command does: a month that lost its rows looks old
            cutoff = await cutoff_of(session, settings)
            months = await expired_months(session, cutoff)
            with progress_bars(shown=False) as bars:
                await clean(session, settings, cutoff, [month for month in months if month.goes], bars)
        self.operators.dropping.was_done = True
        return True

    async def grow(self, event: Event) -> None:
        """A planned stop of all workers while producers go on."""
        await self._until_done("grow", self._grow)
        for worker in self._world.workers:
            worker.is_stopped = False
            worker.start_if_down()

    async def _grow(self) -> bool:
        world = self._world
        for worker in world.workers:
            worker.is_stopped = True
            if worker.life is not None:
                worker.life.stop()
        partitions = world.partitions + _MORE_PARTITIONS
        await grow(world.workers[0].settings, partitions, wait=10.0, say=lambda _text: None)
        return True

    async def watch(self) -> None:
        """Whoever is on call: asks each worker how it is, as a supervisor does, and restores what is lacking."""
        while True:
            await asyncio.sleep(_LOOKS)
            is_told, self._is_told = self._is_told, False
            if is_told or [worker for worker in self._world.workers if await _is_taken_back(worker)]:
                await self._until_done("restore", self._restore)

    async def _restore(self) -> bool:
        settings = self._world.workers[0].settings
        async with self.operators.only_one(None, "restore") as session:
            if not await session.value("try_only_one", {"what": "retention"}):
                return False
            with progress_bars(shown=False) as bars:
                await restore(settings, session, bars, dry_run=False)
        return True

    async def _until_done(self, name: str, command: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                with redirect_stderr(io.StringIO()):
                    async with asyncio.timeout(_ONE_RUN):
                        if await command():
                            return
            except _TOLD as error:
                self._is_told |= isinstance(error, StoreTakenBack)
            except TimeoutError:
                self._world.checks.complain(f"liveness: {name} hangs")
                return
            except BaseException as error:
                self._world.checks.complain(f"{name} ends with {error!r}")
                if isinstance(error, asyncio.CancelledError):
                    raise
                return
            await asyncio.sleep(_AGAIN)


async def _is_taken_back(worker: "Worker") -> bool:
    """By its readiness."""
    life = worker.life
    store = (
        getattr(life.app.runtime, "store", None) if life and life.app and worker.lives and not life.is_frozen else None
    )
    if store is None:
        return False
    try:
        await store.ping()
    except StoreUnavailable:
        return bool(store.taken_back)
    return False
