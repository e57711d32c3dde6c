"""A PostgreSQL of a test's own that archives its log: taken back to a moment by its own tools, as an operator does."""

import shutil
import signal
from pathlib import Path

import psycopg2

from devtools.stack.postgres import USER, Postgres, as_other_user, binary
from devtools.stack.service import run, silent
from devtools.wait import wait_for

_ARCHIVED = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ 'ready$'"


class ArchivedPostgres(Postgres):
    """`back_up`, `mark` a moment, `come_back` to it: its address stays the same."""

    def __init__(self, home: Path, port: int) -> None:
        super().__init__(home, port, brief=True)
        self._archive, self._backup = home / "archive", home / "backup"
        self._target: str | None = None

    def settings(self) -> dict[str, str]:
        archive = {"archive_mode": "on", "archive_command": f"cp %p {self._archive}/%f"}
        if self._target:
            archive |= {
                "restore_command": f"cp {self._archive}/%f %p",
                "recovery_target_name": self._target,
                "recovery_target_action": "promote",
            }
        return super().settings() | archive

    def ready(self) -> bool:
        """Also promoted."""
        try:
            return self.ask("SELECT pg_is_in_recovery()") == [(False,)]
        except psycopg2.Error:
            return False

    def start(self) -> None:
        self._archive.mkdir(parents=True, exist_ok=True)
        self.begin(silent)
        self.await_ready(silent)

    def back_up(self) -> None:
        source = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-D", str(self._backup)]
        options = ["-X", "none", "-c", "fast", "--no-sync"]
        run(self.title, [*as_other_user(), binary("pg_basebackup"), *source, *options])

    def mark(self, name: str) -> None:
        """This moment, which is in the archive when this returns."""
        self.ask(f"SELECT pg_create_restore_point('{name}')")
        self.ask("SELECT pg_switch_wal()")
        wait_for(lambda: self.ask(_ARCHIVED) == [(0,)], 60, "the log is archived")

    def come_back(self, name: str) -> None:
        """What was committed after that moment is lost."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.data)
        self._backup.rename(self.data)
        (self.data / "recovery.signal").touch()
        self._target = name
        self.start()
