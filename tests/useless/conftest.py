"""Servers of these tests' own: they are frozen, demoted and led to other places, which nobody else should see."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from devtools.stack import Ports, Stack
from devtools.stack.ports import free_port
from devtools.stack.service import silent
from tests.support.cloned import Template, migrated_template
from tests.support.database import Database
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import LOCAL


class Own(NamedTuple):
    """A primary and its replica, and the template of a migrated database."""

    stack: Stack
    dsn: str
    replica_dsn: str
    template: Template


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("useless")
    stack = Stack(folder, Ports.free(), cache=LOCAL / "cache", only={"postgres", "replica", "redis"})
    try:
        stack.up()
        values = stack.environment()
        dsn, replica_dsn = values["CREDITSTREAM_POSTGRES_DSN"], values["CREDITSTREAM_POSTGRES_REPLICA_DSN"]
        with migrated_template(dsn, replica_dsn) as template:
            yield Own(stack, dsn, replica_dsn, template)
    finally:
        stack.clean()


@pytest.fixture
def database(own: Own) -> Iterator[Database]:
    """A migrated, empty database of this test's own, on the primary and on the replica."""
    with own.template.cloned() as database:
        database.wait_for_replica()
        yield database


@pytest.fixture(scope="session")
def bouncer(own: Own, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """In transaction mode, in front of the primary."""
    with pgbouncer(own, tmp_path_factory.mktemp("pgbouncer")) as bouncer:
        yield bouncer


@contextmanager
def pgbouncer(own: Own, folder: Path) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(folder, free_port(), own.stack.ports.postgres)
    bouncer.begin(silent)
    try:
        bouncer.await_ready(silent)
        yield bouncer
    finally:
        bouncer.stop()


def port_of(dsn: str) -> int:
    port = urlsplit(dsn).port
    assert port
    return port
