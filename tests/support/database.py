"""A test's PostgreSQL database, and questions to it. Where it comes from: cloned.py."""

from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import make_dsn

from devtools.wait import wait_for


class Database(NamedTuple):
    """`dsn` on the primary, `replica_dsn` on the replica: the same database."""

    name: str
    dsn: str
    replica_dsn: str

    def fetch(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of one committed statement on the primary."""
        return ask(self.dsn, query, parameters)

    def fetch_from_replica(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows as the replica sees them, once it has what the primary has now."""
        self.wait_for_replica()
        return ask(self.replica_dsn, query, parameters)

    def wait_for_replica(self, deadline: float = 60.0) -> None:
        if self.replica_dsn == self.dsn:
            return
        [(there,)] = ask(self.dsn, "SELECT pg_current_wal_lsn()::text")
        behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        wait_for(lambda: ask(replica_root(self), behind, (there,)) == [(True,)], deadline, "the replica catches up")


def replica_root(database: Database) -> str:
    """A database that every replica has: the test's own may not have arrived yet."""
    return with_database(database.replica_dsn, "postgres")


def ask(dsn: str, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn, connect_timeout=5)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    if "://" in dsn:
        return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    return make_dsn(dsn, dbname=name)
