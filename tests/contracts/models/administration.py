"""What operators' commands ask of Kafka."""

from typing import Any

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from creditstream.kafka.admin import Cluster
from devtools.wait import wait_for_async
from tests.contracts.models.kafka import Kafka, refusal, told
from tests.contracts.models.scenarios import KAFKA, Seen


@KAFKA.scenario(
    2, "NoError", 4, [0, 1], "InvalidPartitionsError", "InvalidPartitionsError", 4, "TopicAlreadyExistsError"
)
async def partitions_are_added_and_never_taken(kafka: Kafka) -> Seen:
    topic, admin = await kafka.topic(2), await kafka.admin()
    cluster = Cluster(admin)
    await kafka.send(topic, "a")
    seen: Seen = [(await cluster.partition_counts([topic]))[topic]]
    seen.append(await refusal(cluster.add_partitions([topic], 4)))
    seen += [(await cluster.partition_counts([topic]))[topic], await kafka.ends(topic)]
    for count in (4, 3):
        seen.append(await refusal(admin.create_partitions({topic: NewPartitions(count)})))
    seen.append((await cluster.partition_counts([topic]))[topic])
    answer = await admin.create_topics([NewTopic(topic, 2, kafka.copies)])
    return [*seen, told(answer.topic_errors[0][1])]


@KAFKA.scenario(
    [["cleanup.policy", "delete", "of the broker"], ["retention.ms", "604800000", "of the broker"]],
    [["cleanup.policy", "compact", "of the topic"], ["retention.ms", "604800000", "of the broker"]],
    [["cleanup.policy", "compact,delete", "of the topic"], ["retention.ms", "-1", "of the topic"]],
    "UnknownTopicOrPartitionError",
)
async def settings_of_a_topic(kafka: Kafka) -> Seen:
    admin = await kafka.admin()

    async def ask(name: str) -> Any:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return answer.resources[0]

    async def look(name: str) -> list[list[str]]:
        found = {key: (value, source) for key, value, _, source, *_ in (await ask(name))[4]}
        wanted = [(key, *found[key]) for key in ("cleanup.policy", "retention.ms")]
        return [[key, value, "of the topic" if source == 1 else "of the broker"] for key, value, source in wanted]

    plain, compacted = await kafka.topic(), await kafka.topic(cleanup_policy="compact")
    seen: Seen = [await look(plain), await look(compacted)]
    own = {"cleanup.policy": "compact,delete", "retention.ms": "-1"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, compacted, own)])

    async def is_changed() -> bool:
        return (await look(compacted))[0][1] == "compact,delete"

    await wait_for_async(is_changed, what="the topic's new settings")
    return [*seen, await look(compacted), told((await ask(kafka.name()))[0])]
