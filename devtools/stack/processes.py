"""Start, find and end the stack's processes. Ours is what runs the service's executable inside the service's folder."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil

#: A process's start is known to a hundredth of a second; a recycled pid is never that close.
_SAME_START = 1.0
_LOOK_AGAIN = 0.05
_LOG_END = 16_384
_SPEAKS_OF_ERROR = re.compile(r"\b(ERROR|FATAL|PANIC|Error|Exception)\b|Error:|Exception:")


class ProcessFiles:
    """A service's folder: `pid` (which process, since when) and `log`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.pid_file = home / "pid"
        self.log_file = home / "log"

    def record(self, pid: int, port: int) -> None:
        part = self.pid_file.with_suffix(".part")
        part.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time(), "port": port}))
        part.replace(self.pid_file)

    def recorded(self) -> tuple[psutil.Process, int] | None:
        """The process that the pid file names and its port, if it is still that process."""
        try:
            noted = json.loads(self.pid_file.read_text())
            process = psutil.Process(int(noted["pid"]))
            same = abs(process.create_time() - float(noted["started"])) < _SAME_START
            return (process, int(noted["port"])) if same and lives(process) else None
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None

    def last_words(self) -> str:
        """The line of the log's end that says most: the last one that speaks of an error, else the last."""
        try:
            text = self.log_file.read_bytes()[-_LOG_END:].decode(errors="replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if _SPEAKS_OF_ERROR.search(line)]
        return ([*lines, *errors] or ["its log is empty"])[-1]


def lives(process: psutil.Process) -> bool:
    """A zombie has ended: a container's first process may never collect it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def owned(home: Path, executable: str) -> list[psutil.Process]:
    """Every live server that runs `executable` for the folder `home`, whoever started it.

    It shows by an argument inside the folder or, where a server rewrites its arguments, by its working directory.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if lives(process) and (
                _named_in_arguments(process, home, executable) or _works_in(process, home, executable)
            ):
                found.append(process)
    return found


def _named_in_arguments(process: psutil.Process, home: Path, executable: str) -> bool:
    arguments = process.cmdline()
    return arguments[:1] == [executable] and any(Path(part).is_relative_to(home) for part in arguments[1:])


def _works_in(process: psutil.Process, home: Path, executable: str) -> bool:
    """Not readable (psutil.AccessDenied) for a process of another user, even by root in some containers."""
    same = os.path.realpath(process.exe()) == os.path.realpath(executable)
    return same and Path(os.path.realpath(process.cwd())).is_relative_to(os.path.realpath(home))


def below(servers: list[psutil.Process]) -> list[psutil.Process]:
    """Their children, at any depth."""
    found = []
    for process in servers:
        with contextlib.suppress(psutil.Error):
            found += process.children(recursive=True)
    return found


def roots(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is not among them: a server, without its own children."""
    pids = {process.pid for process in processes}
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in pids:
                found.append(process)
    return found


def spawn(command: list[str], home: Path, log: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start in a session of its own, so that Ctrl-C in the terminal reaches `make` and not the servers."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(processes: list[psutil.Process], how: signal.Signals, patience: float) -> None:
    """Signal `processes`, wait `patience` seconds, SIGKILL what is left."""
    for step in (how, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(step)
        deadline = time.monotonic() + patience
        while any(lives(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
