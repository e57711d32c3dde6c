"""A real Kafka that lets nobody do anything without an ACL, and the ACLs that an MSK policy stands for."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.protocol.admin import CreateAclsRequest

from creditstream.config.settings import Settings
from creditstream.kafka.client import open_admin
from tests.secure.certificates import Certificates
from tests.secure.kafka import PASSWORD, KafkaWithDoors

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


class GuardedKafka(KafkaWithDoors):
    """Its plain door is the administrator's; `scram` knows each user by name and password."""

    def __init__(self, home: Path, cache: Path, certificates: Certificates, users: Iterable[str]) -> None:
        super().__init__(home, cache, certificates, doors=("scram",), users=users)

    def settings(self, user: str) -> dict[str, str]:
        """Of a program that logs in as that user."""
        return {
            "CREDITSTREAM_KAFKA_BROKERS": self.door("scram"),
            "CREDITSTREAM_KAFKA_REPLICATION_FACTOR": "1",
            "CREDITSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "CREDITSTREAM_KAFKA_SSL_CAFILE": str(self._certificates.ca),
            "CREDITSTREAM_KAFKA_SASL_USERNAME": user,
            "CREDITSTREAM_KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def allow(self, user: str, acls: Iterable[Acl]) -> None:
        asyncio.run(_allow(Settings(kafka_brokers=self.plain), user, list(acls)))

    def _properties(self) -> dict[str, object]:
        return {
            **super()._properties(),
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
