"""Servers that let in only who proves who they are, for the tests in this folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from devtools.stack.ports import HOST, free_port
from devtools.stack.redis import Redis
from devtools.stack.service import Service, silent
from tests.secure.certificates import Certificates
from tests.secure.kafka import SecureKafka
from tests.secure.postgres import SecurePostgres
from tests.secure.servers import in_thread, tls_before

CACHE = Path(__file__).resolve().parents[2] / ".local" / "cache"
REDIS_USER, REDIS_PASSWORD = "cache-user", "long-and-random-3"


@contextmanager
def running(service: Service) -> Iterator[None]:
    service.begin(silent)
    try:
        service.await_ready(silent)
        yield
    finally:
        service.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secure_kafka(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    kafka = SecureKafka(tmp_path_factory.mktemp("kafka"), CACHE, certificates)
    with running(kafka):
        yield kafka


@pytest.fixture(scope="session")
def secure_postgres(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurePostgres]:
    postgres = SecurePostgres(tmp_path_factory.mktemp("postgres"), free_port(), CACHE, certificates)
    with running(postgres):
        yield postgres


class SecureRedis:
    """A real redis-server that knows one user, and the TLS ends in front of it. `admin` gets in on the plain port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.admin = redis.Redis(host=HOST, port=port, decode_responses=True)
        self.allow(REDIS_PASSWORD)

    def allow(self, password: str) -> None:
        """This password and no other; who is logged in has to do it again."""
        self.admin.acl_setuser(
            REDIS_USER, enabled=True, reset_passwords=True, passwords=[f"+{password}"], keys=["creditstream:*"],
            commands=["+get", "+set", "+ping", "+client", "+hello"],
        )  # fmt: skip
        self.admin.client_kill_filter(user=REDIS_USER)

    def users(self) -> set[str]:
        """Who is logged in."""
        return {str(client["user"]) for client in self.admin.client_list()}

    def url(self, port: int, password: str = REDIS_PASSWORD) -> str:
        return f"rediss://{REDIS_USER}:{password}@{HOST}:{port}/0"


@pytest.fixture(scope="session")
def secure_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    service = Redis(tmp_path_factory.mktemp("redis"), free_port())
    with running(service):
        server = SecureRedis(service.port)
        yield server
        server.admin.close()


@pytest.fixture(scope="session")
def redis_tls(secure_redis: SecureRedis, certificates: Certificates) -> Iterator[int]:
    """The port where Redis is behind TLS."""
    with in_thread(lambda: tls_before(secure_redis.port, certificates.server)) as port:
        yield port
