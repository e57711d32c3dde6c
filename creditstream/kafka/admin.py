"""What growth asks of Kafka: partition counts, members of the group, more partitions, prefixes deleted."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, PolicyViolationError, for_code
from aiokafka.structs import TopicPartition

from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka.topics import partition_counts

#: DescribeConfigs: set for this topic, not inherited from the broker.
_OF_THE_TOPIC = 1
#: Brokers learn of a topic's new settings or partitions a moment after the controller has taken them.
_POLL = 0.2
_POLLS = 100


class Cluster:
    """A started admin client, with the few questions that are needed here."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def partition_counts(self, names: Sequence[str]) -> dict[str, int]:
        """Of those topics that exist. Raises BrokerUnavailable."""
        return await partition_counts(self._admin, names)

    async def members(self, group: str) -> int:
        """How many consumers the group has now, dead ones whose session still lasts included."""
        [answer] = await self._admin.describe_consumer_groups([group])
        [(_code, _group, _state, _kind, _protocol, members, *_)] = answer.groups
        return len(members)

    async def add_partitions(self, names: Sequence[str], partitions: int) -> None:
        """Returns when the brokers know them. Raises StartError when Kafka refuses."""
        try:
            await self._admin.create_partitions({name: NewPartitions(partitions) for name in names})
        except KafkaError as error:
            raise StartError(f"Kafka does not add partitions: {error}") from None
        for _ in range(_POLLS):
            if set((await self.partition_counts(names)).values()) == {partitions}:
                return
            await asyncio.sleep(_POLL)
        raise BrokerUnavailable(f"no broker knows the new partitions of {', '.join(names)}")

    async def topic_config(self, name: str) -> dict[str, str]:
        """All settings in force for the topic."""
        return {entry: value for entry, value, _ in await self._config(name)}

    async def delete_before(self, ends: Mapping[TopicPartition, int], policy: str) -> None:
        """Remove one topic's records before those offsets. `policy`: its cleanup policy, then and afterwards."""
        name = next(iter(ends)).topic
        own = await self._own_config(name)
        if "delete" in policy:
            await self._delete_before(ends)
            return
        # Kafka refuses it for a topic that is only compacted. Nothing else is deleted meanwhile.
        lasting = {"cleanup.policy": f"{policy},delete", "retention.ms": "-1", "retention.bytes": "-1"}
        await self._set_config(name, own | lasting)
        try:
            await self._delete_before(ends)
        finally:
            await self._set_config(name, own | {"cleanup.policy": policy})

    async def _delete_before(self, ends: Mapping[TopicPartition, int]) -> None:
        wanted = {where: RecordsToDelete(end) for where, end in ends.items() if end > 0}
        for _ in range(_POLLS):
            try:
                if wanted:
                    await self._admin.delete_records(wanted, timeout_ms=30_000)
            except PolicyViolationError:
                await asyncio.sleep(_POLL)
            else:
                return
        raise BrokerUnavailable("Kafka does not delete records of a compacted topic")

    async def _config(self, name: str) -> list[tuple[str, str, int]]:
        [answer] = await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        [(code, text, _kind, _name, entries)] = answer.resources
        if code:
            raise BrokerUnavailable(f"settings of topic {name}: {text or for_code(code).__name__}")
        return [(entry, value, source) for entry, value, _read_only, source, *_ in entries]

    async def _own_config(self, name: str) -> dict[str, str]:
        return {entry: value for entry, value, source in await self._config(name) if source == _OF_THE_TOPIC}

    async def _set_config(self, name: str, wanted: Mapping[str, str]) -> None:
        """Replaces all that is set for the topic."""
        [answer] = await self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict(wanted))])
        for code, text, *_ in answer.resources:
            if code:
                raise StartError(f"Kafka does not change settings of topic {name}: {text or for_code(code).__name__}")
