"""Makes the archive of Kafka's classes: a broker's start is recorded, once for a download cache."""

import fcntl
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from devtools.stack.archive import archive_file
from devtools.stack.errors import StackError
from devtools.stack.jars import ensure_jars
from devtools.stack.kafka import Kafka
from devtools.stack.ports import free_port
from devtools.stack.service import Report


class _Recorded(Kafka):
    """A broker that writes the archive when it is stopped: four seconds of CPU and more."""

    ready_within = 240.0
    stop_within = 240.0

    def __init__(self, home: Path, cache: Path, archive: Path) -> None:
        super().__init__(home, free_port(), free_port(), cache, brief=True)
        self._archive = archive

    def command(self) -> list[str]:
        java, *rest = super().command()
        return [java, f"-XX:AOTCacheOutput={self._archive}", *rest]


def ensure_archive(cache: Path, report: Report) -> None:
    """The archive is there, or cannot be made on this machine: then all goes without. Raises StackError for the jars.

    Brief stacks call it before they start; the first one makes it, and the others wait.
    """
    shelf = ensure_jars(cache, report).parent
    if archive_file(cache).exists():
        return
    with (shelf / "archive.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive_file(cache).exists():
            report("recording a start, once")
            for old in shelf.glob("*.aot"):
                old.unlink()
            _record(shelf / "training", cache, report)


def _record(folder: Path, cache: Path, report: Report) -> None:
    """In `folder`, where a run that was killed may have left its broker."""
    folder.mkdir(exist_ok=True)
    part = folder / "archive"
    broker = _Recorded(folder / "kafka", cache, part)
    try:
        with suppress(StackError):
            broker.stop(signal.SIGKILL)
            broker.wipe()
            broker.begin(report)
            try:
                broker.await_ready(report)
            finally:
                broker.stop()
        part.touch()
        part.replace(archive_file(cache))
    finally:
        shutil.rmtree(folder)
