"""PgBouncer in front of a PostgreSQL of the local stack: the machine's program, else that of Debian's package."""

import os
import shutil
from pathlib import Path
from typing import Any

import psycopg2

from devtools.stack.ports import HOST
from devtools.stack.postgres import USER, as_other_user
from devtools.stack.service import Report, Service
from tests.support.database import ask
from tests.support.debian import unpacked

#: How many of the server's connections all clients of one database share.
POOL = 4
_LIBRARIES = r"lib(?:event|c-ares)[^\s,]*"


class PgBouncer(Service):
    """In transaction mode; `dsn("name")` leads through it."""

    name = "pgbouncer"
    title = "PgBouncer"
    port_field = "pgbouncer"

    def __init__(self, home: Path, port: int, target: int) -> None:
        super().__init__(home, port)
        self._target = target
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        self._folder = None if found else unpacked("pgbouncer", _LIBRARIES)
        self._program = found or f"{self._folder}/usr/sbin/pgbouncer"

    def dsn(self, database: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"

    def prepare(self, report: Report) -> None:
        settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "admin_users": USER,
            "pool_mode": "transaction",
            "default_pool_size": POOL,
        }
        lines = ["[databases]", f"* = host={HOST} port={self._target} user={USER}", "[pgbouncer]"]
        (self.home / "pgbouncer.ini").write_text(
            "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""])
        )

    def executable(self) -> str:
        return self._program

    def command(self) -> list[str]:
        return [*as_other_user(), self._program, str(self.home / "pgbouncer.ini")]

    def environ(self) -> dict[str, str]:
        if self._folder is None:
            return super().environ()
        folders = sorted({str(path.parent) for path in self._folder.rglob("*.so.*")})
        return {**super().environ(), "LD_LIBRARY_PATH": os.pathsep.join(folders)}

    def ready(self) -> bool:
        try:
            return bool(self.console("SHOW VERSION"))
        except psycopg2.Error:
            return False

    def console(self, command: str) -> list[tuple[Any, ...]]:
        """Its own commands, on its own "database"."""
        return ask(self.dsn("pgbouncer"), command)
