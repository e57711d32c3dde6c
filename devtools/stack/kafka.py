"""Apache Kafka: one process that is broker and controller (KRaft), or several that make a cluster."""

import asyncio
import logging
import socket
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from devtools.stack.archive import brief_flags
from devtools.stack.jars import ensure_jars, jars_folder, java
from devtools.stack.ports import HOST
from devtools.stack.service import Report, Service, run

#: As creditstream.kafka.client.MAX_REQUEST_BYTES: a dead letter carries up to 4 MiB of original value and its headers.
_MAX_MESSAGE = 6 * 1024 * 1024
_HEAP = "512m"


class Cluster(NamedTuple):
    """A cluster by its name for itself and its nodes' controller ports, in the order of their numbers from 1."""

    id: str
    controllers: tuple[int, ...]

    @classmethod
    def of(cls, *controllers: int) -> "Cluster":
        """With a new name: a type-4 UUID in Kafka's own spelling."""
        return cls(urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("="), controllers)


class Kafka(Service):
    """One node. Alone, everything that is replicated elsewhere has one copy; in a cluster, one on each node."""

    name = "kafka"
    title = "Kafka"
    port_field = "kafka"
    ready_within = 60.0

    def __init__(
        self,
        home: Path,
        port: int,
        controller_port: int,
        cache: Path,
        cluster: Cluster | None = None,
        *,
        brief: bool = False,
    ) -> None:
        super().__init__(home, port)
        self._brief = brief
        self.controller_port = controller_port
        self.cache = cache
        self.cluster = cluster or Cluster.of(controller_port)
        self.node = self.cluster.controllers.index(controller_port) + 1
        if self.node > 1:
            self.name, self.title = f"kafka-{self.node}", f"Kafka node {self.node}"

    @property
    def config(self) -> Path:
        return self.home / "server.properties"

    def listens_on(self) -> dict[str, int]:
        return {"kafka": self.port, "kafka_controller": self.controller_port}

    def prepare(self, report: Report) -> None:
        jars = ensure_jars(self.cache, report)
        self.config.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        if not (self.home / "data" / "meta.properties").exists():
            storage = ["kafka.tools.StorageTool", "format", "-t", self.cluster.id, "-c", str(self.config)]
            run(self.title, [*_jvm(jars, "256m"), *brief_flags(self.cache), *storage, *self.format_options()])

    def format_options(self) -> list[str]:
        return ["--ignore-formatted"]

    def command(self) -> list[str]:
        flags = brief_flags(self.cache) if self._brief else ()
        return [*_jvm(jars_folder(self.cache), _HEAP), *flags, "kafka.Kafka", str(self.config)]

    def ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()  # a closed port would fill the log
            return asyncio.run(_knows_its_broker(f"{HOST}:{self.port}"))
        except (OSError, KafkaError, TimeoutError):
            return False

    def _properties(self) -> dict[str, object]:
        voters = enumerate(self.cluster.controllers, start=1)
        copies = len(self.cluster.controllers)
        return {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": ",".join(f"{node}@{HOST}:{port}" for node, port in voters),
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.home / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": _MAX_MESSAGE,
            "replica.fetch.max.bytes": _MAX_MESSAGE,
            "min.insync.replicas": max(1, copies - 1),
            "offsets.topic.replication.factor": copies,
            # 50 partitions by default: with one broker they only make the first start slower.
            "offsets.topic.num.partitions": 5,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(1, copies - 1),
            "transaction.state.log.num.partitions": 5,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
        }


def _jvm(jars: Path, heap: str) -> list[str]:
    logging_config = f"-Dlog4j2.configurationFile={jars / 'log4j2.properties'}"
    # Kafka unmaps its index files that way; the warning would stand first in every log.
    unsafe = "--sun-misc-unsafe-memory-access=allow"
    return [java(), f"-Xmx{heap}", unsafe, logging_config, "-cp", f"{jars}/*"]


async def _knows_its_broker(bootstrap: str) -> bool:
    """The port opens a little before the broker is registered; clients are served once the metadata names it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    finally:
        await client.close()
