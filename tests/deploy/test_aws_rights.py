"""What deploy/aws/roles.yaml allows is enough for the program: real Kafka, each action as the ACL it stands for."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from creditstream.config.load import load_settings
from creditstream.config.settings import Settings
from creditstream.kafka.client import client_options
from creditstream.operations.audit import audit
from creditstream.operations.forget.command import run as forget
from creditstream.operations.grow.command import run as grow
from deploy.aws.template import templates
from devtools.programs import RiskApiProcess, Worker
from devtools.stack.ports import free_port
from tests.docs.pages import HOW_TO, Block, shell
from tests.docs.reader import shell_environ, type_in
from tests.secure.certificates import Certificates
from tests.secure.fixtures import CACHE, running
from tests.support.database import Database
from tests.support.product import order_line, settle
from tests.support.rights import ACTIONS, Acl, GuardedKafka
from tests.support.servers import console_tools

ROLES = ("Worker", "Operations", "Producer")


def acls(role: str) -> Iterator[Acl]:
    """Of the role's policy in the template, for this prefix and group."""
    [policy] = templates()["roles.yaml"]["Resources"][role]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        for resource in statement["Resource"]:
            text = "cluster/kafka-cluster" if "Ref" in resource else resource["Fn::Sub"][0].split(":")[-1]
            kind, name = text.split("/")[0], text.split("/")[-1].replace("${TopicPrefix}", "")
            for action in statement["Action"]:
                operation = ACTIONS[action.removeprefix("kafka-cluster:")]
                if operation:
                    yield Acl(kind, name.replace("${Group}", Settings().group), operation)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    folder = tmp_path_factory.mktemp("guarded")
    kafka = GuardedKafka(folder / "kafka", CACHE, Certificates(folder / "certificates"), ROLES)
    with running(kafka):
        for role in ROLES:
            kafka.allow(role, acls(role))
        yield kafka


@pytest.fixture
def environ_of(
    guarded: GuardedKafka, database: Database, risk_api: RiskApiProcess, tmp_path: Path
) -> Callable[[str], dict[str, str]]:
    return lambda role: {
        **guarded.settings(role),
        "CREDITSTREAM_POSTGRES_DSN": database.dsn,
        "CREDITSTREAM_REDIS_URL": "",
        "CREDITSTREAM_RISK_URL": risk_api.url,
        "CREDITSTREAM_DATA_DIR": str(tmp_path / "data"),
        "CREDITSTREAM_WEB_PORT": str(free_port()),
        "CREDITSTREAM_START_TIMEOUT": "120",
    }


async def send(settings: Settings, topic: str, value: bytes) -> None:
    """Raises TopicAuthorizationFailedError."""
    producer = AIOKafkaProducer(**client_options(settings), acks="all", request_timeout_ms=120_000)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


def test_each_role_can_do_its_work_and_no_more(environ_of: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    worker = Worker(environ_of("Worker"), tmp_path, "worker")
    try:
        worker.wait_until_ready()
        letter, forgotten = "no order", order_line(uuid4(), customer_id="c-forgotten")
        for value in (order_line(uuid4()), forgotten, letter):
            asyncio.run(send(load_settings(environ_of("Producer")), "orders", value.encode()))
        operations = environ_of("Operations")
        settle(operations, 3)
        settings = load_settings(operations)
        assert asyncio.run(audit(settings)).clean
        assert asyncio.run(forget(settings, "c-forgotten", by="test", wait=60, dry_run=False)) == 0
        assert worker.stop() == 0
        assert asyncio.run(grow(settings, 6, wait=60, dry_run=False)) == 0
    finally:
        worker.discard()
    for role, topic in (("Producer", "order-status"), ("Worker", "orders")):
        with pytest.raises(TopicAuthorizationFailedError):
            asyncio.run(send(load_settings(environ_of(role)), topic, b"{}"))


_RESOURCE = re.compile(r"resourceType=(\w+), name=([\w-]+), patternType=LITERAL")
_RIGHT = re.compile(r"principal=User:creditstream, host=\*, operation=(\w+), permissionType=ALLOW")


def listed(text: str) -> set[Acl]:
    """As kafka-acls prints them."""
    found = set()
    for part in text.split("Current ACLs for resource ")[1:]:
        [(kind, name)] = _RESOURCE.findall(part)
        found |= {Acl(kind.lower(), name, operation) for operation in _RIGHT.findall(part)}
    return found


def test_the_acls_that_a_how_to_page_types_are_a_workers_and_no_more(guarded: GuardedKafka, tmp_path: Path) -> None:
    blocks = [block for block in shell(HOW_TO / "existing-kafka.md") if block.where == "acls"]
    environ = shell_environ(console_tools(), {"CREDITSTREAM_KAFKA_BROKERS": guarded.plain})
    (tmp_path / "admin.properties").touch()
    listing = Block("", f"kafka-acls --bootstrap-server {guarded.plain} --list --principal User:creditstream\n")
    text = type_in([*blocks, listing], tmp_path, environ)
    assert listed(text) == set(acls("Worker"))
