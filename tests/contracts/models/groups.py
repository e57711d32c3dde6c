"""A group's life: who is in it, in which generation, and whose commits are taken."""

import asyncio

from devtools.wait import wait_for_async
from tests.contracts.models.kafka import Kafka
from tests.contracts.models.member import Member, commit, committed, described
from tests.contracts.models.scenarios import KAFKA, Seen


@KAFKA.scenario(
    *("MemberIdRequired", "NoError", 1, "leads", 1, ["NoError", "a"], ["Stable", "consumer", "range", 1, 1]),
    *("NoError", "IllegalGenerationError", "IllegalGenerationError"),
    *("NoError", "IllegalGenerationError", "IllegalGenerationError", "UnknownMemberIdError", "UnknownMemberIdError"),
    *("NoError", "UnknownMemberIdError", ["Empty", "consumer", "", 0, 0], "NoError", "UnknownMemberIdError", 9),
    *("UnknownMemberIdError", "NoError", 3),
)
async def a_group_of_one(kafka: Kafka) -> Seen:
    topic, group = await kafka.topic(), await kafka.group()
    one = await Member.of(kafka, group)
    seen: Seen = [await one.join_once(), await one.join_once(), one.generation]
    seen += ["leads" if one.leader == one.id else "follows", len(one.members)]
    seen += [await one.sync((one, "a")), await described(kafka, group)]
    seen += [await one.heartbeat(), await one.heartbeat(0), await one.heartbeat(2)]
    client = await kafka.client()
    seen += [await one.commit(topic, 7), await one.commit(topic, 1, 0), await one.commit(topic, 1, 2)]
    seen += [await commit(kafka, client, group, topic, 1, 1, "x"), await commit(kafka, client, group, topic, 1)]
    seen += [await one.leave(), await one.leave(), await described(kafka, group)]
    seen += [await commit(kafka, client, group, topic, 9), await one.commit(topic, 1)]
    seen.append(await committed(kafka, client, group, topic))
    seen.append(await one.join_once())
    one.id = ""
    return [*seen, await one.join(), one.generation]


@KAFKA.scenario(
    *("IllegalGenerationError", "UnknownMemberIdError", ["UnknownMemberIdError", ""], "UnknownMemberIdError"),
    *("UnknownMemberIdError", ["Dead", "", "", 0, 0], -1, "NoError", 5, ["Empty", "", "", 0, 0]),
)
async def a_group_that_is_not_there(kafka: Kafka) -> Seen:
    topic, group, client = await kafka.topic(), await kafka.group(), await kafka.client()
    stranger = await Member.of(kafka, group)
    stranger.id, stranger.generation = "stranger", 1
    seen: Seen = [await stranger.commit(topic, 3), await stranger.heartbeat(), await stranger.sync()]
    seen += [await stranger.leave(), await stranger.join(), await described(kafka, group)]
    seen.append(await committed(kafka, client, group, topic))
    seen += [await commit(kafka, client, group, topic, 5), await committed(kafka, client, group, topic)]
    return [*seen, await described(kafka, group)]


@KAFKA.scenario(
    *("NoError", ["PreparingRebalance", "consumer", "", 2, 1], "NoError", ["RebalanceInProgressError", ""], 1),
    *(["NoError", "NoError"], [2, 2], 2, 0, ["CompletingRebalance", "consumer", "", 2, 1]),
    *("IllegalGenerationError", "RebalanceInProgressError", "NoError", "IllegalGenerationError", 1),
    *(
        ["NoError", "a"],
        ["NoError", "b"],
        "NoError",
        "IllegalGenerationError",
        2,
        ["Stable", "consumer", "range", 2, 2],
    ),
    *("NoError", "NoError", 3, ["a"]),
)
async def a_second_member_makes_a_new_generation(kafka: Kafka) -> Seen:
    topic, group, client = await kafka.topic(), await kafka.group(), await kafka.client()
    one, two = await Member.of(kafka, group), await Member.of(kafka, group)
    await one.join()
    await one.sync((one, "all"))
    joining = asyncio.create_task(two.join())
    await rebalancing(one)
    seen: Seen = ["NoError", await described(kafka, group), await one.commit(topic, 1), await one.sync()]
    seen += [await committed(kafka, client, group, topic)]
    seen += [[await one.join(), await joining], [one.generation, two.generation]]
    seen += [len(one.members), len(two.members), await described(kafka, group)]
    seen += [await one.commit(topic, 5, 1), await one.commit(topic, 5), await one.heartbeat(), await one.heartbeat(1)]
    seen.append(await committed(kafka, client, group, topic))
    following = asyncio.create_task(two.sync())
    seen += [await one.sync((one, "a"), (two, "b")), await following]
    seen += [await two.commit(topic, 2), await one.commit(topic, 5, 1), await committed(kafka, client, group, topic)]
    seen.append(await described(kafka, group))
    seen.append(await two.leave())
    await rebalancing(one)
    seen += [await one.join(), one.generation]
    _, assigned = await one.sync((one, "a"))
    return [*seen, [assigned]]


async def rebalancing(member: Member) -> None:
    """Until a heartbeat says so."""

    async def told() -> bool:
        return await member.heartbeat() == "RebalanceInProgressError"

    await wait_for_async(told, what="the rebalance")


@KAFKA.scenario(
    ["NoError", "NoError"],
    "MemberIdRequired",
    "NoError",
    "Stable",
    "UnknownMemberIdError",
    ["NoError"] * 3,
    [2, 2, 2],
    3,
)
async def a_name_that_was_given_keeps_its_place(kafka: Kafka) -> Seen:
    """KIP-394: whoever has a name and has not joined yet changes nothing, and is waited for."""
    group = await kafka.group()
    one, two, named = [await Member.of(kafka, group) for _ in range(3)]
    seen: Seen = [[await one.join(), (await one.sync((one, "a")))[0]]]
    seen += [await named.join_once(), await one.heartbeat(), (await described(kafka, group))[0]]
    seen.append(await named.heartbeat(1))
    joining = [asyncio.create_task(one.join_once()), asyncio.create_task(two.join())]

    async def is_in() -> bool:
        return int((await described(kafka, group))[3]) >= 2

    await wait_for_async(is_in, what="the second member")
    joined = [await named.join_once(), *[await each for each in joining]]
    return [*seen, joined, [each.generation for each in (one, two, named)], len(one.members)]


@KAFKA.scenario(["NoError", 1, "NoError"], ["NoError", 1, "NoError"], 2, ["NoError", 2], ["NoError", 2])
async def a_member_that_joins_again(kafka: Kafka) -> Seen:
    """It has missed an answer: the same generation still holds. The leader's starts a new one: others may have come."""
    group = await kafka.group()
    one = await Member.of(kafka, group)
    await one.join()
    await one.sync((one, "a"))
    seen: Seen = [["NoError", one.generation, await one.heartbeat()]]
    two = await Member.of(kafka, group)
    joining = asyncio.create_task(two.join())
    await rebalancing(one)
    await one.join()
    await joining
    following = asyncio.create_task(two.sync())
    await one.sync((one, "a"), (two, "b"))
    await following
    follower, leader = (two, one) if one.leader == one.id else (one, two)
    before = follower.generation
    seen.append([await follower.join_once(), follower.generation - before + 1, await leader.heartbeat()])
    seen.append(follower.generation)
    again = asyncio.create_task(leader.join_once())
    await rebalancing(follower)
    seen.append([await follower.join_once(), follower.generation - before + 1])
    return [*seen, [await again, leader.generation - before + 1]]
