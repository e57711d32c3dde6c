"""Members of a group that say nothing any more, or do not do what is asked."""

import asyncio
from itertools import pairwise

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from devtools.wait import wait_for_async
from tests.contracts.models.groups import rebalancing
from tests.contracts.models.kafka import Kafka
from tests.contracts.models.member import Member
from tests.contracts.models.scenarios import KAFKA, Seen

#: Seconds: the shortest session that a broker takes, and time enough for what is asked before it ends.
_LONG = 6.0


@KAFKA.scenario("NoError", 2, 1, "UnknownMemberIdError", "UnknownMemberIdError", ["UnknownMemberIdError", ""])
async def a_silent_member_is_out_when_its_session_ends(kafka: Kafka) -> Seen:
    """The other one's join is answered then, long before the rebalance has to end."""
    topic, group = await kafka.topic(), await kafka.group()
    one, two = await Member.of(kafka, group, session=_LONG), await Member.of(kafka, group)
    await one.join()
    await one.sync((one, "a"))
    seen: Seen = [await two.join(), two.generation, len(two.members)]
    return [*seen, await one.heartbeat(), await one.commit(topic, 1), await one.sync()]


@KAFKA.scenario("NoError", 2, 1, "UnknownMemberIdError", "UnknownMemberIdError")
async def a_member_that_does_not_join_again_is_out_when_the_rebalance_ends(kafka: Kafka) -> Seen:
    """Although it is heard of."""
    group = await kafka.group()
    one, two = [await Member.of(kafka, group, rebalance=_LONG) for _ in range(2)]
    await one.join()
    await one.sync((one, "a"))
    joining = asyncio.create_task(two.join())
    await rebalancing(one)
    seen: Seen = [await joining, two.generation, len(two.members)]
    return [*seen, await one.heartbeat(), await one.join_once()]


@KAFKA.scenario(["RebalanceInProgressError", ""], "UnknownMemberIdError", "NoError", 3, 1)
async def a_leader_that_assigns_nothing_is_out_when_the_rebalance_ends(kafka: Kafka) -> Seen:
    group = await kafka.group()
    one, two = [await Member.of(kafka, group, rebalance=_LONG) for _ in range(2)]
    await one.join()
    joining = asyncio.create_task(two.join())
    await rebalancing(one)
    await one.join_once()
    await joining
    follower, leader = (two, one) if one.leader == one.id else (one, two)
    seen: Seen = [await follower.sync(), await leader.heartbeat()]
    return [*seen, await follower.join_once(), follower.generation, len(follower.members)]


@KAFKA.scenario([6], [3, 3], [2, 2, 2], [3, 3], "no partition twice, none left out", "generations grow")
async def consumers_share_partitions(kafka: Kafka) -> Seen:
    """aiokafka's own, as Faust's are."""
    topic, group = await kafka.topic(6), await kafka.group()
    options = {"group_id": group, "heartbeat_interval_ms": 100, "max_poll_interval_ms": 60_000}
    consumers: list[AIOKafkaConsumer] = []
    seen: Seen = []
    generations = [0]
    for _ in range(3):
        consumers.append(await kafka.consumer(topic, **options))
        await _shared(consumers, topic)
        seen.append(sorted(len(each.assignment()) for each in consumers))
        generations.append(consumers[0]._coordinator.generation)
    await consumers.pop(0).stop()
    await _shared(consumers, topic)
    seen.append(sorted(len(each.assignment()) for each in consumers))
    generations.append(consumers[0]._coordinator.generation)
    grows = all(before < after for before, after in pairwise(generations))
    return [*seen, "no partition twice, none left out", "generations grow" if grows else generations]


async def _shared(consumers: list[AIOKafkaConsumer], topic: str) -> None:
    everything = [TopicPartition(topic, number) for number in range(6)]

    async def is_shared() -> bool:
        held = sorted(each for consumer in consumers for each in consumer.assignment())
        return held == everything and all(consumer.assignment() for consumer in consumers)

    await wait_for_async(is_shared, what="an assignment of all partitions")
