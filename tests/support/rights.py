"""A real Kafka that lets nobody do anything without an ACL, and the ACLs that an MSK policy stands for."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.protocol.admin import CreateAclsRequest

from creditstream.dev.stack import Ports
from creditstream.dev.stack.kafka import Kafka
from creditstream.dev.stack.ports import HOST
from creditstream.kafka import open_admin
from creditstream.settings import Settings
from tests.secure.certificates import Certificates

PASSWORD = "long-and-random-1"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
#: Kafka's own numbers.
_KINDS = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS = {
    "READ": 3,
    "WRITE": 4,
    "CREATE": 5,
    "DELETE": 6,
    "ALTER": 7,
    "DESCRIBE": 8,
    "DESCRIBE_CONFIGS": 10,
    "ALTER_CONFIGS": 11,
}
_LITERAL, _ALLOW = 3, 3
#: To what AWS says each action is equivalent ("Semantics of IAM authorization policy actions and resources").
ACTIONS = {
    "Connect": None,
    "DescribeCluster": "DESCRIBE",
    "AlterCluster": "ALTER",
    "CreateTopic": "CREATE",
    "DescribeTopic": "DESCRIBE",
    "AlterTopic": "ALTER",
    "DeleteTopic": "DELETE",
    "DescribeTopicDynamicConfiguration": "DESCRIBE_CONFIGS",
    "AlterTopicDynamicConfiguration": "ALTER_CONFIGS",
    "ReadData": "READ",
    "WriteData": "WRITE",
    "DescribeGroup": "DESCRIBE",
    "AlterGroup": "READ",
}


class Acl(NamedTuple):
    """`kind`: topic, group or cluster."""

    kind: str
    name: str
    operation: str


class GuardedKafka(Kafka):
    """Its plain door is the administrator's; `door` knows each user by name and password, over TLS."""

    ready_within = 120.0

    def __init__(self, home: Path, cache: Path, certificates: Certificates, users: Iterable[str]) -> None:
        ports = Ports.free()
        super().__init__(home, ports.kafka, ports.kafka_controller, cache)
        self._certificates, self._users = certificates, tuple(users)
        self._door = ports.postgres

    @property
    def plain(self) -> str:
        return f"{HOST}:{self.port}"

    def settings(self, user: str) -> dict[str, str]:
        """Of a program that logs in as that user."""
        return {
            "CREDITSTREAM_KAFKA_BROKERS": f"{HOST}:{self._door}",
            "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": "1",
            "CREDITSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "CREDITSTREAM_KAFKA_SSL_CAFILE": str(self._certificates.ca),
            "CREDITSTREAM_KAFKA_SASL_USERNAME": user,
            "CREDITSTREAM_KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def allow(self, user: str, acls: Iterable[Acl]) -> None:
        asyncio.run(_allow(Settings(kafka_brokers=self.plain), user, list(acls)))

    def format_options(self) -> list[str]:
        users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in self._users]
        return [*super().format_options(), *(part for user in users for part in ("--add-scram", user))]

    def _properties(self) -> dict[str, object]:
        usual = super()._properties()
        door = f"USERS://{HOST}:{self._door}"
        return {
            **usual,
            "listeners": f"{usual['listeners']},{door}",
            "advertised.listeners": f"{usual['advertised.listeners']},{door}",
            "listener.security.protocol.map": f"{usual['listener.security.protocol.map']},USERS:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates.server.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._certificates.ca,
            "listener.name.users.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.users.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Whoever comes by the plain door has no name.
            "super.users": "User:ANONYMOUS",
        }


async def _allow(settings: Settings, user: str, acls: list[Acl]) -> None:
    admin = await open_admin(settings)
    try:
        for acl in acls:
            request = CreateAclsRequest(
                _KINDS[acl.kind], acl.name, _LITERAL, f"User:{user}", "*", _OPERATIONS[acl.operation], _ALLOW
            )
            answer: Any = await admin._send_request(request)
            assert [code for code, _ in answer.creation_responses] == [0], answer
    finally:
        await admin.close()
