"""A PostgreSQL database per test, cloned in a moment from one that the product's own migrations made.

It is kept for another test if it can be made as its template is; else it goes. To clone one costs a third of a second
of CPU on the primary and its replica, to empty one a fourth of that. Whatever a test has changed but rows and
partitions, its shape tells (shape.sql). It gets a new name: what is left of a test and still writes finds no database.
"""

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from tests.support.database import Database, ask, with_database

_SHAPE = Path(__file__).with_name("shape.sql").read_text(encoding="utf-8")
_EMPTY = Path(__file__).with_name("empty.sql").read_text(encoding="utf-8")
_LEAVE = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'orders'::regclass"


class Template:
    """A database with the current schema and no rows, and those made of it that are as new. Threads may share it."""

    def __init__(self, admin_dsn: str, replica_dsn: str, name: str) -> None:
        """`admin_dsn`: of a superuser."""
        self._admin_dsn, self._replica_dsn, self._name = admin_dsn, replica_dsn, name
        self._as_new: list[str] = []
        dsn = with_database(admin_dsn, name)
        self._shape = ask(dsn, _SHAPE)
        self._partitions = [partition for (partition,) in ask(dsn, _PARTITIONS)]

    @contextmanager
    def cloned(self) -> Iterator[Database]:
        name = self._taken()
        try:
            yield Database(name, with_database(self._admin_dsn, name), with_database(self._replica_dsn, name))
        finally:
            if self._is_as_new(name):
                self._as_new.append(name)
            else:
                drop(self._admin_dsn, name)

    def clear(self) -> None:
        for name in self._as_new:
            drop(self._admin_dsn, name)

    def _taken(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        try:
            ask(self._admin_dsn, f"ALTER DATABASE {self._as_new.pop()} RENAME TO {name}")
        except IndexError:
            ask(self._admin_dsn, f"CREATE DATABASE {name} TEMPLATE {self._name}")
        return name

    def _is_as_new(self, name: str) -> bool:
        """Whether it is so now. It is emptied first."""
        dsn = with_database(self._admin_dsn, name)
        try:
            ask(self._admin_dsn, _LEAVE, (name,))
            ask(dsn, _EMPTY, (self._partitions,))
            return ask(dsn, _SHAPE) == self._shape
        except psycopg2.Error:  # a table that is not there, a lock that somebody holds, a server that has ended
            return False


def drop(admin_dsn: str, name: str) -> None:
    ask(admin_dsn, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def migrated_template(admin_dsn: str, replica_dsn: str) -> Iterator[Template]:
    """Made by the product's migrations; nothing stays connected to it."""
    from creditstream.store.migrations import migrate

    name = f"template_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    ask(admin_dsn, f"CREATE DATABASE {name}")
    try:
        asyncio.run(migrate(with_database(admin_dsn, name)))
        template = Template(admin_dsn, replica_dsn, name)
        try:
            yield template
        finally:
            template.clear()
    finally:
        drop(admin_dsn, name)
