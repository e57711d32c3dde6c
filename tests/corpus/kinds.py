"""How the topics are set up while a part of the corpus is sent to them."""

from functools import partial

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from creditstream.kafka.admin import Cluster
from creditstream.kafka.client import MAX_REQUEST_BYTES
from creditstream.kafka.topics import ORDERS, ORDERS_BY_ID, ORDERS_DEAD_LETTER, ORDERS_RETRY
from devtools.wait import wait_for_async
from tests.corpus.cases import Kind
from tests.support.kafka import Topics, run

#: Kafka removes a segment whose newest record is too old; timestamps of 1970 are sent on purpose.
_USUAL = {"max.message.bytes": str(MAX_REQUEST_BYTES), "retention.ms": "-1"}
_ANY_TIME = str(2**63 - 1)
#: Before Kafka 4 any timestamp was taken, and a record was at most 1 MiB with its overhead.
_OLDER = {
    "message.timestamp.after.max.ms": _ANY_TIME,
    "message.timestamp.before.max.ms": _ANY_TIME,
    "max.message.bytes": "1048588",
}
_RECOMPRESSED: dict[Kind, dict[str, str]] = {
    "recompressed-gzip": {"compression.type": "gzip"},
    "recompressed-snappy": {"compression.type": "snappy"},
    "recompressed-lz4": {"compression.type": "lz4"},
    "recompressed-zstd": {"compression.type": "zstd"},
}
#: In this order. The last one is there when the second worker begins: its forwards and letters meet those limits too.
KINDS: dict[Kind, dict[str, str]] = {
    "kafka4": {},
    "log-append": {"message.timestamp.type": "LogAppendTime"},
    **_RECOMPRESSED,
    "older": _OLDER,
}


def become(topics: Topics, kind: Kind) -> None:
    """From now on the topics that records are read from are of that kind."""
    run(_become(topics, {**_USUAL, **KINDS[kind]}))


async def _become(topics: Topics, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.brokers)
    await admin.start()
    try:
        names = [topics.name(topic) for topic in (ORDERS, ORDERS_BY_ID, ORDERS_RETRY, ORDERS_DEAD_LETTER)]
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name, configs=config) for name in names]
        for answer in await admin.alter_configs(wanted):
            refused = [each for each in answer.resources if each[0]]
            assert not refused, f"Kafka does not set up the topics: {refused}"
        # The broker learns of it a moment after the controller has taken it.
        cluster = Cluster(admin)
        for name in names:
            await wait_for_async(partial(_has, cluster, name, config), what=f"{name} is set up anew")
    finally:
        await admin.close()


async def _has(cluster: Cluster, name: str, config: dict[str, str]) -> bool:
    return config.items() <= (await cluster.topic_config(name)).items()
