"""One server of the stack: what to prepare, what to run, when it is ready, how it stops. Each has the same shape."""

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import psutil

from devtools.stack import processes
from devtools.stack.errors import StackError

#: How often a starting server is asked; each question is cheap.
_POLL = 0.1
#: A server that lives gets this long to answer again before it counts as broken (a replica reconnecting).
_RECOVERY = 5.0
#: After SIGKILL the kernel needs a moment, longer when it frees a heap.
_KILL_WAIT = 10.0

Report = Callable[[str], None]


def silent(_text: str) -> None:
    """Reports nothing."""


class Service(ABC):
    """A server in its own folder. `ready` asks it in its own protocol."""

    name: str
    title: str
    #: Which field of Ports it listens on.
    port_field: str
    ready_within: float = 30.0
    stop_within: float = 20.0
    stop_signal: signal.Signals = signal.SIGTERM

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.files = processes.ProcessFiles(home)
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self, report: Report) -> None:
        """Make what the server needs on disk; cheap when it is there."""

    @abstractmethod
    def command(self) -> list[str]: ...

    def executable(self) -> str:
        """The program that runs in the end."""
        return self.command()[0]

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers now. Any OSError or driver error is translated to False."""

    def finish(self) -> None:
        """What has to be done once it answers."""
        return

    def rebuild(self) -> bool:
        """Remove what can be made anew when it does not come up. False: nothing can."""
        return False

    def environ(self) -> dict[str, str]:
        return dict(os.environ)

    def listens_on(self) -> dict[str, int]:
        """Ports by the name of their field in Ports."""
        return {self.port_field: self.port}

    def processes(self) -> list[psutil.Process]:
        return processes.owned(self.home, self.executable()) if self.home.is_dir() else []

    def running(self) -> bool:
        """Whether the process that serves this port is there, by pid file or, if that was lost, by search."""
        mine = processes.roots(self.processes())
        recorded = self.files.recorded()
        return bool(recorded and recorded[0] in mine and recorded[1] == self.port)

    def healthy(self) -> bool:
        return self.running() and self._answers_within(_RECOVERY)

    def begin(self, report: Report) -> None:
        """Prepare and start, whatever a killed machine left behind; does not wait. Raises StackError."""
        self.stop()
        self.home.mkdir(parents=True, exist_ok=True)
        self.prepare(report)
        self.files.log_file.write_bytes(b"")
        self._child = processes.spawn(self.command(), self.home, self.files.log_file, self.environ())
        self.files.record(self._child.pid, self.port)

    def await_ready(self, report: Report) -> None:
        """Wait until it answers. Raises StackError with the end of its log."""
        if not self._answers_within(self.ready_within):
            if not self.rebuild():
                raise StackError(self._failure())
            self.begin(report)
            if not self._answers_within(self.ready_within):
                raise StackError(self._failure())
        self.finish()

    def stop(self, how: signal.Signals | None = None) -> None:
        """Stop it if it runs, by `how` instead of its usual signal. Raises StackError if a process is left."""
        servers = processes.roots(self.processes())
        children = processes.below(servers)
        processes.end(servers, how or self.stop_signal, self.stop_within)
        processes.end([*children, *self.processes()], signal.SIGKILL, patience=_KILL_WAIT)
        left = [process for process in [*children, *self.processes()] if processes.lives(process)]
        if left:
            raise StackError(f"{self.title} does not stop: process {left[0].pid} is still there after SIGKILL")
        if self._child is not None:
            self._child.wait(_KILL_WAIT)  # it has ended: this only collects it
            self._child = None
        self.files.pid_file.unlink(missing_ok=True)

    def wipe(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    def _answers_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() >= deadline or self.files.recorded() is None:
                return False
            time.sleep(_POLL)
        return True

    def _failure(self) -> str:
        what = "does not answer" if self.files.recorded() else "ended at once"
        last = self.files.last_words()
        return f"{self.title} {what} on port {self.port}: {last} (all of it: {self.files.log_file})"


def run(title: str, command: list[str], within: float = 120.0, environ: dict[str, str] | None = None) -> None:
    """Run a server's own tool. Raises StackError with its last line."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=within, env=environ, check=False
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"{title}: {Path(command[0]).name} did not end within {within:.0f} s") from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StackError(f"{title}: {Path(command[0]).name} failed: {lines[-1] if lines else done.returncode}")
