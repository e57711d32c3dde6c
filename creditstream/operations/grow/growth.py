"""What `faust -A creditstream grow` does: a planned stop, after which all topics have more partitions."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.admin import Cluster
from creditstream.kafka.client import open_admin
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import ORDER_STATUS, ORDERS, SEEN_CHANGELOG, all_topics, topic_name
from creditstream.operations.grow.repartition import Repartition
from creditstream.operations.progress import progress_bars
from creditstream.operations.undisturbed import refuse_taken_back, require_published
from creditstream.order.ports import Mark
from creditstream.store.maintenance import only_one

_POLL = 0.5


class Plan(NamedTuple):
    """From how many partitions to how many; `resumed`: an earlier run was broken off."""

    before: int
    after: int
    resumed: bool


class Grown(NamedTuple):
    """What was copied, and how long it took in seconds."""

    plan: Plan
    marks: int
    statuses: int
    seconds: float


async def plan_growth(settings: Settings, partitions: int) -> Plan:
    """Changes nothing. Raises StartError when it cannot be done."""
    admin = await open_admin(settings)
    try:
        return await _plan(Cluster(admin), settings, partitions)
    finally:
        await admin.close()


async def grow(settings: Settings, partitions: int, *, wait: float, say: Callable[[str], None]) -> Grown | None:
    """None: nothing to do. `wait`: seconds for the workers to be gone. Raises StartError or Unavailable.

    `orders` grows last: until then partition counts differ and no worker starts. Broken off, it is run again.
    """
    started = time.monotonic()
    admin = await open_admin(settings)
    try:
        async with only_one(settings, "grow"):
            cluster = Cluster(admin)
            plan = await _plan(cluster, settings, partitions)
            if plan.before == plan.after:
                return None
            marks = await refuse_taken_back(settings, "grow")
            await _until_empty(cluster, settings, wait, say)
            copied = await _grow(cluster, settings, plan, marks)
    finally:
        await admin.close()
    return Grown(plan, *copied, time.monotonic() - started)


def _names(settings: Settings) -> list[str]:
    return [topic_name(settings, topic.name) for topic in all_topics(settings)]


async def _plan(cluster: Cluster, settings: Settings, partitions: int) -> Plan:
    counts = await cluster.partition_counts(_names(settings))
    missing = [name for name in _names(settings) if name not in counts]
    if missing:
        raise StartError(f"topic {missing[0]} does not exist (CREDITSTREAM_TOPIC_PREFIX?)")
    before = counts.pop(topic_name(settings, ORDERS))
    if partitions < before:
        raise StartError(f"orders has {before} partitions, and Kafka cannot take any away: --partitions {partitions}?")
    begun = sorted({count for count in counts.values() if count != before})
    if len(begun) > 1 or (begun and begun[0] != partitions):
        raise StartError(f"a growth to {begun[-1]} partitions was broken off: run grow --partitions {begun[-1]}")
    return Plan(before, partitions, bool(begun))


async def _until_empty(cluster: Cluster, settings: Settings, wait: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + wait
    said = 0
    while members := await cluster.members(settings.group):
        if time.monotonic() >= deadline:
            raise StartError(
                f"{members} workers are in group {settings.group}: stop all of them, and what would start them again"
            )
        if members != said:
            say(f"waiting for {members} workers of group {settings.group} to stop")
            said = members
        await asyncio.sleep(_POLL)


async def _grow(cluster: Cluster, settings: Settings, plan: Plan, published: Sequence[Mark]) -> tuple[int, int]:
    orders = topic_name(settings, ORDERS)
    counts = await cluster.partition_counts(_names(settings))
    behind = [name for name, count in counts.items() if name != orders and count != plan.after]
    if behind:
        await cluster.add_partitions(behind, plan.after)
    await _still_empty(cluster, settings)  # whoever started meanwhile passed its checks before the counts differed
    publisher = await Publisher.open(settings)
    try:
        marks, statuses = await _repartition(Repartition(settings, cluster, publisher, plan.after), settings, published)
    finally:
        await publisher.close()
    await _still_empty(cluster, settings)
    await cluster.add_partitions([orders], plan.after)
    return marks, statuses


async def _repartition(work: Repartition, settings: Settings, published: Sequence[Mark]) -> tuple[int, int]:
    policies = {topic.name: topic.config.get("cleanup.policy", "delete") for topic in all_topics(settings)}
    with progress_bars(shown=True) as bars:
        seen, status = (bars.add_task(name, total=None) for name in (SEEN_CHANGELOG, ORDER_STATUS))
        marks = await work.marks(
            topic_name(settings, SEEN_CHANGELOG), policies[SEEN_CHANGELOG], lambda done: bars.advance(seen, done)
        )
        statuses = await work.statuses(
            topic_name(settings, ORDER_STATUS),
            policies[ORDER_STATUS],
            lambda done: bars.advance(status, done),
            lambda: require_published(settings, published, "grow"),
        )
    return marks, statuses


async def _still_empty(cluster: Cluster, settings: Settings) -> None:
    if await cluster.members(settings.group):
        raise StartError(f"a worker of group {settings.group} started meanwhile: stop it and run grow again")
