"""One seed's world from its beginning to its end: what was wrong, and a digest of all that happened."""

import asyncio
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.clocks import now, real_process_time
from tests.simulation.ending import Ending
from tests.simulation.load import make_later_load, make_load
from tests.simulation.loop import NothingToDo
from tests.simulation.plan import COMMANDS, TROUBLED, Plan
from tests.simulation.watch import Watch
from tests.simulation.world import World

#: Virtual seconds after all is healed, within which every order has its outcome.
_WITHIN = 120.0


@dataclass(frozen=True)
class Outcome:
    """What came of a seed. `lives`: records that were played; `seconds`: virtual ones; `cpu`: real ones."""

    seed: int
    wrong: tuple[str, ...]
    digest: str
    lives: int
    seconds: float
    cpu: float


def play(plan: Plan) -> Outcome:
    """In this process, which plays no other: what the product reaches the outside through is replaced."""
    started = real_process_time()
    now.is_played = True
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        world = World(plan, folder)
        try:
            world.run(_course(world, plan))
        except NothingToDo as why:
            world.checks.complain(f"liveness: the world does not get on: {why}")
        return Outcome(
            plan.seed,
            tuple(world.checks.wrong),
            _digest(world),
            len(world.checks.sent),
            now.seconds,
            real_process_time() - started,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _course(world: World, plan: Plan) -> None:
    await world.begin()
    watch = asyncio.create_task(Watch(world, plan).run())
    on_call = asyncio.create_task(world.faults.watch())
    produce = asyncio.create_task(_produce(world, plan))
    events = {each: asyncio.create_task(world.faults.play(each)) for each in plan.events}
    commands = [events.pop(each) for each in plan.events if each.what in COMMANDS]
    await asyncio.gather(produce, *events.values(), asyncio.sleep(TROUBLED))
    world.heal()
    healed = world.played
    ending = Ending(world)
    while not (ending.is_over() and world.is_calm() and all(command.done() for command in commands)):
        if world.played - healed > _WITHIN:
            world.checks.complain(f"liveness: not done {_WITHIN:.0f} s after all was healed")
            break
        await asyncio.sleep(0.5)
    else:
        await asyncio.sleep(1.0)
    watch.cancel()
    on_call.cancel()
    ending.look()


async def _produce(world: World, plan: Plan) -> None:
    load = make_load(plan.seed, plan.records, plan.partitions)
    if plan.has_past:
        load += make_later_load(plan.seed, plan.partitions)
    for burst in plan.bursts:
        await asyncio.sleep(max(0.0, burst.at - world.played))
        by_partition: dict[int, list[int]] = {}
        for number in range(burst.first, burst.first + burst.count):
            by_partition.setdefault(load[number].partition, []).append(number)
        for partition, numbers in by_partition.items():
            world.producers.send(partition, [load[each] for each in numbers])


def _digest(world: World) -> str:
    told = hashlib.sha256()
    for topic in sorted(world.broker.topics):
        for partition, log in world.broker.topics[topic].items():
            told.update(f"{topic} {partition} {log.end}".encode())
            for record in log.records():
                told.update(repr((record.offset, record.key, record.value)).encode())
    told.update(repr(sorted(world.postgres.rows.items())).encode())
    if world.past:
        told.update(repr(sorted(world.postgres.keys.items())).encode())
    told.update(repr((now.seconds, world.risk.journal())).encode())
    return told.hexdigest()[:16]
