"""The servers that tests use: those that the environment names, else containers, else a local stack of the run's own.

A missing one fails; nothing is skipped. The processes of one run share the local stack: whoever needs it first starts
it, and it ends with the run. Topics have a prefix of their test's own, databases a name, Redis a number.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Self

from devtools.stack import Ports, Stack
from devtools.stack.archive import archive_file
from devtools.stack.jars import ensure_jars
from devtools.stack.ports import HOST
from devtools.stack.service import silent
from devtools.stack.tools import write_tools

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
CACHE = LOCAL / "cache"
#: A container engine that is there answers at once.
_ENGINE_WITHIN = 2.0
#: As many as a server has without being asked for more.
_REDIS_DATABASES = 16


class Servers(NamedTuple):
    """Where they are. `postgres_dsn` may create databases; `tools` holds kafka-console-producer and the like."""

    brokers: str
    postgres_dsn: str
    replica_dsn: str
    redis_url: str
    tools: Path
    replication_factor: int = 1


class Place(NamedTuple):
    """Where the run's local stack is, or will be once somebody needs it."""

    folder: Path
    ports: Ports

    def as_text(self) -> str:
        """For another process."""
        return json.dumps([str(self.folder), asdict(self.ports)])

    @classmethod
    def from_text(cls, text: str) -> Self:
        folder, ports = json.loads(text)
        return cls(Path(folder), Ports(**ports))


@contextmanager
def open_servers(place: Place, number: int) -> Iterator[Servers]:
    """For the run's process with that number. TEST_STACK=local takes the local stack although an engine answers."""
    if os.environ.get("CREDITSTREAM_KAFKA_BROKERS") and os.environ.get("CREDITSTREAM_POSTGRES_DSN"):
        yield _given(os.environ)
    elif os.environ.get("TEST_STACK") != "local" and engine_answers():
        with _containers() as servers:
            yield servers
    else:
        yield _local(place, number)


def _given(environ: "os._Environ[str]") -> Servers:
    dsn = environ["CREDITSTREAM_POSTGRES_DSN"]
    return Servers(
        brokers=environ["CREDITSTREAM_KAFKA_BROKERS"],
        postgres_dsn=dsn,
        replica_dsn=environ.get("CREDITSTREAM_POSTGRES_REPLICA_DSN") or dsn,
        redis_url=environ.get("CREDITSTREAM_REDIS_URL", "redis://127.0.0.1:6379/0"),
        tools=console_tools(),
        replication_factor=int(environ.get("CREDITSTREAM_KAFKA_REPLICATION_FACTOR", "1")),
    )


def engine_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=_ENGINE_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _local(place: Place, number: int) -> Servers:
    """Started unless another process of the run has done it."""
    stack = _local_stack(place.folder, place.ports)
    stack.up()
    values = stack.environment()
    return Servers(
        brokers=values["CREDITSTREAM_KAFKA_BROKERS"],
        postgres_dsn=values["CREDITSTREAM_POSTGRES_DSN"],
        replica_dsn=values["CREDITSTREAM_POSTGRES_REPLICA_DSN"],
        redis_url=f"redis://{HOST}:{place.ports.redis}/{number % _REDIS_DATABASES}",
        tools=stack.tools,
    )


def _local_stack(folder: Path, ports: Ports) -> Stack:
    only = {"kafka", "postgres", "replica", "redis"}
    return Stack(folder, ports, cache=CACHE, only=only, brief=True)


@contextmanager
def own_place() -> Iterator[Place]:
    """Beside the user's stack and other runs', on free ports; stopped and removed at the end if anybody started it.

    Locked while this run lives; a folder that nobody holds was left by a killed run, and its servers are ended.
    """
    shelf = LOCAL / "test-stack"
    shelf.mkdir(parents=True, exist_ok=True)
    for lock_file in shelf.glob("*.lock"):
        with lock_file.open("a") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock_file)
    lock_file = shelf / f"{os.getpid()}.lock"
    with lock_file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield Place(lock_file.with_suffix(""), Ports.free())
        finally:
            _remove(lock_file)


def _remove(lock_file: Path) -> None:
    folder = lock_file.with_suffix("")
    if folder.exists():
        _local_stack(folder, Ports()).clean()  # a server is found by its folder
        shutil.rmtree(folder, ignore_errors=True)
    lock_file.unlink(missing_ok=True)


@contextmanager
def _containers() -> Iterator[Servers]:
    """Without a replica: the primary answers in its place, as where CREDITSTREAM_POSTGRES_REPLICA_DSN is empty."""
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer

    with ExitStack() as started:
        kafka = started.enter_context(KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft())
        postgres = started.enter_context(
            PostgresContainer("postgres:16", username="creditstream", dbname="creditstream", driver=None)
        )
        redis = started.enter_context(RedisContainer("redis:7"))
        dsn = postgres.get_connection_url()
        yield Servers(
            brokers=kafka.get_bootstrap_server(),
            postgres_dsn=dsn,
            replica_dsn=dsn,
            redis_url=f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0",
            tools=console_tools(),
        )


def console_tools() -> Path:
    """Kafka's console programs for servers that are not ours to start."""
    folder = LOCAL / "test-tools"
    write_tools(folder, ensure_jars(CACHE, silent), archive_file(CACHE))
    return folder
