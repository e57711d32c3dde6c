"""The servers that tests use: those that the environment names, else containers, else a local stack of their own.

A missing one fails; nothing is skipped.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from devtools.stack import Ports, Stack
from devtools.stack.jars import ensure_jars
from devtools.stack.tools import write_tools

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
#: A container engine that is there answers at once.
_ENGINE_WITHIN = 2.0


class Servers(NamedTuple):
    """Where they are. `postgres_dsn` may create databases; `tools` holds kafka-console-producer and the like."""

    brokers: str
    postgres_dsn: str
    replica_dsn: str
    redis_url: str
    tools: Path
    replication_factor: int = 1


@contextmanager
def open_servers() -> Iterator[Servers]:
    """TEST_STACK=local takes the local stack although a container engine answers."""
    if os.environ.get("CREDITSTREAM_KAFKA_BROKERS") and os.environ.get("CREDITSTREAM_POSTGRES_DSN"):
        yield _given(os.environ)
    elif os.environ.get("TEST_STACK") != "local" and engine_answers():
        with _containers() as servers:
            yield servers
    else:
        with local_servers() as servers:
            yield servers


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


@contextmanager
def local_servers() -> Iterator[Servers]:
    """A stack of this run's own beside the user's and other runs', on free ports, stopped and removed at the end."""
    with _own_folder() as folder:
        stack = _local_stack(folder)
        try:
            stack.up()
            values = stack.environment()
            yield Servers(
                brokers=values["CREDITSTREAM_KAFKA_BROKERS"],
                postgres_dsn=values["CREDITSTREAM_POSTGRES_DSN"],
                replica_dsn=values["CREDITSTREAM_POSTGRES_REPLICA_DSN"],
                redis_url=values["CREDITSTREAM_REDIS_URL"],
                tools=stack.tools,
            )
        finally:
            stack.clean()


def _local_stack(folder: Path) -> Stack:
    return Stack(folder, Ports.free(), cache=LOCAL / "cache", only={"kafka", "postgres", "replica", "redis"})


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Locked while this run lives; a folder that nobody holds was left by a killed run, and its servers are ended."""
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
            yield lock_file.with_suffix("")
        finally:
            _remove(lock_file)


def _remove(lock_file: Path) -> None:
    folder = lock_file.with_suffix("")
    if folder.exists():
        _local_stack(folder).clean()
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
    write_tools(folder, ensure_jars(LOCAL / "cache", lambda text: None))
    return folder
