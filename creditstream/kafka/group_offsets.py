"""How far a consumer group is done: the offsets that it has committed, all of one moment."""

from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable
from creditstream.kafka.client import open_admin


async def committed_offsets(settings: Settings, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Of those partitions of which the group has committed one. The coordinator answers for all of them at once.

    Raises StartError or BrokerUnavailable.
    """
    admin = await open_admin(settings)
    try:
        offsets = await admin.list_consumer_group_offsets(settings.group, partitions=list(partitions))
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"offsets of group {settings.group}: {type(error).__name__}") from error
    finally:
        await admin.close()
    return {where: found.offset for where, found in offsets.items() if found.offset >= 0}
