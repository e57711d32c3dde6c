"""Kafka behind SCRAM, client certificates and tokens: a real broker, Faust's consumer and our producers."""

import asyncio
import functools
import re
from pathlib import Path

import pytest

from creditstream.config.load import load_settings
from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, StartError
from creditstream.kafka.client import open_admin
from creditstream.kafka.publisher import Publisher
from creditstream.order.ports import Outgoing
from creditstream.store.migrations import migrate
from devtools.programs import Worker
from devtools.stack.ports import free_port
from devtools.wait import wait_for, wait_for_async
from tests.secure.certificates import Certificates
from tests.secure.fixtures import REDIS_USER, SecureRedis
from tests.secure.kafka import PASSWORD, ROTATING, USER, SecureKafka
from tests.secure.servers import write
from tests.secure.ways import ways_in
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, settle
from tests.support.servers import Servers

_ORDERS = 60
_SCRAM = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_username": USER, "kafka_sasl_password": Secret(PASSWORD)}
_MTLS = {"kafka_security_protocol": "SSL"}


def settings(kafka: SecureKafka, certificates: Certificates, door: str, **more: object) -> Settings:
    usual = {"kafka_ssl_cafile": str(certificates.ca), "start_timeout": 120.0, "kafka_replication_factor": 1}
    return Settings(kafka_brokers=kafka.door(door), **{**usual, **more})  # type: ignore[arg-type]  # by name


def why(settings: Settings) -> str:
    """The one line with which a start is refused; at once, not when the start's time is up."""
    with pytest.raises(StartError) as error:
        asyncio.run(asyncio.wait_for(open_admin(settings), 100))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("door", "said"),
    [("expired", "certificate has expired"), ("elsewhere", "IP address mismatch"), ("mtls", "client certificate")],
)
def test_a_certificate_that_is_wrong_is_named(
    secure_kafka: SecureKafka, certificates: Certificates, door: str, said: str
) -> None:
    line = why(settings(secure_kafka, certificates, door, **_MTLS))
    assert said in line and secure_kafka.door(door) in line and "CREDITSTREAM_KAFKA_" in line


def test_a_strangers_certificate_ends_the_start(secure_kafka: SecureKafka, certificates: Certificates) -> None:
    environ = {
        "CREDITSTREAM_KAFKA_BROKERS": secure_kafka.door("scram"),
        "CREDITSTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
        "CREDITSTREAM_KAFKA_SSL_CAFILE": str(certificates.other_ca),
        "CREDITSTREAM_START_TIMEOUT": "60",
    }
    done = faust(environ, "load", "--count", "1")
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("creditstream: ")]
    assert "Kafka (CREDITSTREAM_KAFKA_BROKERS) at 127.0.0.1" in line
    assert "its certificate is refused: unable to get local issuer certificate" in line


@pytest.mark.parametrize(
    ("door", "password", "said"),
    [("scram", "wrong", "refuses our name or password"), ("oauth", PASSWORD, "CREDITSTREAM_KAFKA_SASL_MECHANISM")],
)
def test_a_password_or_a_mechanism_that_is_wrong_is_named(
    secure_kafka: SecureKafka, certificates: Certificates, door: str, password: str, said: str
) -> None:
    assert said in why(
        settings(secure_kafka, certificates, door, **{**_SCRAM, "kafka_sasl_password": Secret(password)})
    )


def test_a_client_certificate_opens_the_door(secure_kafka: SecureKafka, certificates: Certificates) -> None:
    pair = {
        "kafka_ssl_certfile": str(certificates.client.certificate),
        "kafka_ssl_keyfile": str(certificates.client.key),
    }
    asyncio.run(_look_in(settings(secure_kafka, certificates, "mtls", **_MTLS, **pair)))
    both = {"kafka_ssl_certfile": str(certificates.client.both)}
    asyncio.run(_look_in(settings(secure_kafka, certificates, "mtls", **_MTLS, **both)))


async def _look_in(settings: Settings) -> None:
    admin = await open_admin(settings)
    try:
        await admin.list_topics()
    finally:
        await admin.close()


def test_files_that_hold_no_certificate_are_named(secure_kafka: SecureKafka, certificates: Certificates) -> None:
    for name in ("kafka_ssl_cafile", "kafka_ssl_certfile"):
        for file in ("/nowhere.pem", __file__):
            line = why(settings(secure_kafka, certificates, "mtls", **{**_MTLS, name: file}))
            assert f"CREDITSTREAM_{name.upper()}={file}" in line
    other = {
        "kafka_ssl_certfile": str(certificates.client.certificate),
        "kafka_ssl_keyfile": str(certificates.server.key),
    }
    assert "CREDITSTREAM_KAFKA_SSL_KEYFILE" in why(settings(secure_kafka, certificates, "mtls", **_MTLS, **other))


def test_a_new_password_is_used_by_the_next_connection(
    secure_kafka: SecureKafka, certificates: Certificates, tmp_path: Path
) -> None:
    topics = Topics(Servers(secure_kafka.plain, "", "", "", Path()), partitions=1)
    topics.create()
    file, rotating = write(tmp_path / "password", PASSWORD), {**_SCRAM, "kafka_sasl_username": ROTATING}
    with_file = {**rotating, "kafka_sasl_password": Secret(file=str(file))}
    current = settings(secure_kafka, certificates, "scram", **with_file)

    async def publish() -> None:
        publisher = await Publisher.open(current)
        try:
            await publisher.publish(topics.name("orders"), {0: [Outgoing(None, b"before")]})
            write(file, "long-and-random-4")
            await asyncio.to_thread(secure_kafka.change_password, "long-and-random-4")
            for connection in list(publisher._producer.client._conns.values()):
                connection.close()
            after = Outgoing(None, b"after")
            # The broker may need a moment for the new password, as the program's loops give it.
            await wait_for_async(lambda: _is_published(publisher, topics.name("orders"), after), 60, "it is taken")
        finally:
            await publisher.close()

    asyncio.run(publish())
    assert {record.value for record in topics.consume_all("orders")} == {b"before", b"after"}
    assert "refuses our name or password" in why(settings(secure_kafka, certificates, "scram", **rotating))


def test_orders_are_decided_by_workers_that_use_secure_connections(
    secure_kafka: SecureKafka,
    secure_redis: SecureRedis,
    certificates: Certificates,
    secure_environ: dict[str, str],
    tmp_path: Path,
) -> None:
    topics = Topics(Servers(secure_kafka.plain, "", "", "", Path()), partitions=6)
    topics.create()
    environ = {
        **secure_environ,
        "CREDITSTREAM_TOPIC_PREFIX": topics.prefix,
        "CREDITSTREAM_GROUP": topics.prefix + "workers",
    }
    ways = ways_in(secure_kafka, certificates, tmp_path)
    settings = load_settings({**environ, **ways["scram"]})
    asyncio.run(migrate(settings.postgres_dsn.reveal()))
    workers: list[Worker] = []
    try:
        for way, values in ways.items():
            own = {"CREDITSTREAM_DATA_DIR": str(tmp_path / way), "CREDITSTREAM_WEB_PORT": str(free_port())}
            workers.append(Worker({**environ, **values, **own}, tmp_path, way))
        for worker in workers:
            worker.wait_until_ready(180)
        for worker in workers:
            wait_for(functools.partial(_partitions, worker), 120.0, "each worker has partitions")
        topics.produce("orders", [(None, order_line(_order_id(number)).encode()) for number in range(_ORDERS)])
        settle({**environ, **ways["scram"]}, _ORDERS)
        assert audited({**environ, **ways["scram"]})["orders"] == _ORDERS
        wait_for(lambda: workers[0].get("/stats") and REDIS_USER in secure_redis.users(), 60.0, "the cache is asked")
        assert "long-and-random" not in "".join(worker.log() for worker in workers), "the beginning of each password"
    finally:
        for worker in workers:
            worker.discard()


def _order_id(number: int) -> str:
    return f"7b0c0a52-6d0e-4a52-9a25-0d6a1d5b{number:04x}"


async def _is_published(publisher: Publisher, topic: str, record: Outgoing) -> bool:
    try:
        await publisher.publish(topic, {0: [record]})
    except BrokerUnavailable:
        return False
    return True


def _partitions(worker: Worker) -> str:
    """Those that it is at work on, by its own word; empty: none."""
    said: list[str] = re.findall(r"rebalancing$|at work on partitions \[(.*)\]", worker.log(), re.MULTILINE)
    return said[-1] if said else ""
