"""`start` starts a program: as a fork, if a forker is at work in this process and the program is one of its kind."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from devtools.forks.order import LARGEST, NUMBER, Order

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "creditstream"
#: Names of variables that a fork may have of its own. All others are read by an interpreter or a library as it starts.
_ITS_OWN = ("CREDITSTREAM_", "PYTEST_")
_EXITS_WITHIN = 60.0


class Started(Protocol):
    """As much of subprocess.Popen as is used of a program."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


def start(
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    *,
    stdin: IO[Any] | None = None,
    stdout: IO[Any],
    stderr: IO[Any] | None = None,
) -> Started:
    """In a session of its own. Without `stdin` it reads nothing; without `stderr` that goes where `stdout` goes."""
    with Path(os.devnull).open("rb") as nothing:
        streams = [stdin or nothing, stdout, stderr or stdout]
        if _forker and _forker.can(command, environ):
            return _forker.start(command, environ, folder, streams)
        return subprocess.Popen(
            command,
            env=dict(environ),
            cwd=folder,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            start_new_session=True,
        )


@contextmanager
def forking(environ: Mapping[str, str] | None) -> Iterator[None]:
    """While it is open, `start` forks programs whose environment is `environ` and settings; with None it forks none."""
    global _forker
    before = _forker
    _forker = Forker(environ) if environ is not None and hasattr(os, "pidfd_open") else None
    try:
        yield
    finally:
        opened, _forker = _forker, before
        if opened:
            opened.close()


class Fork:
    """A program that the forker has begun; see Started."""

    def __init__(self, command: Sequence[str], report: int) -> None:
        self._command, self._report = command, report
        self._code: int | None = None
        self._lock = threading.Lock()
        self.pid = self._told("it did not begin")

    def _told(self, what: str) -> int:
        """The next number on its pipe; waits for it."""
        number = os.read(self._report, NUMBER.size)
        if len(number) < NUMBER.size:
            raise RuntimeError(f"{' '.join(self._command)}: {what}, or its forker has ended")
        [told] = NUMBER.unpack(number)
        return int(told)

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _ended_within(self, timeout: float | None) -> int | None:
        with self._lock:
            if self._code is None and select.select([self._report], [], [], timeout)[0]:
                self._code = self._told("nobody knows how it ended")
                os.close(self._report)
            return self._code


class Forker:
    """Begins with the first start."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def can(self, command: Sequence[str], environ: Mapping[str, str]) -> bool:
        """A module of this checkout's interpreter, and nothing but settings sets it apart."""
        return [*command[:2]] == [sys.executable, "-m"] and _without_own(environ) == _without_own(self._environ)

    def start(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path, streams: Sequence[IO[Any]]
    ) -> Fork:
        order = Order(command[2], [*command[3:]], dict(environ), str(folder.resolve()))
        message = json.dumps(order).encode()
        if len(message) > LARGEST:
            raise ValueError(f"{' '.join(command)}: its environment and arguments are longer than {LARGEST:,} bytes")
        reader, writer = os.pipe()
        try:
            with self._lock:
                descriptors = [writer, *(stream.fileno() for stream in streams)]
                socket.send_fds(self._connected(), [message], descriptors)
        finally:
            os.close(writer)
        return Fork(command, reader)

    def close(self) -> None:
        """Its programs go on."""
        if self._server and self._control:
            self._control.close()
            self._server.wait(_EXITS_WITHIN)

    def _connected(self) -> socket.socket:
        if not self._control:
            self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LARGEST)
            with other:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "devtools.forks.server", str(other.fileno()), _PACKAGE],
                    env=_without_own(self._environ),
                    cwd=_ROOT,
                    pass_fds=[other.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._control


def _without_own(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_ITS_OWN)}


_forker: Forker | None = None
