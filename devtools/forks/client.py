"""`start` starts a program: as a fork, if a forker is at work in this process and the program is one of its kind."""

import itertools
import json
import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
        if _forker and _forker.can(command, environ) and _forker.is_its_turn():
            with suppress(OSError):
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
def forking(environ: Mapping[str, str] | None, *, every: int = 1) -> Iterator[None]:
    """While it is open, `start` forks programs whose environment is `environ` and settings; with None it forks none.

    `every`: of so many such programs the last is a fork, the others begin as a user's do.
    """
    global _forker
    before = _forker
    _forker = Forker(environ, every) if environ is not None and hasattr(os, "pidfd_open") else None
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
        self._lock = threading.Lock()
        self._code: int | None = None
        self._is_over = False
        weakref.finalize(self, os.close, report)
        pid = self._told()
        if pid is None:
            raise RuntimeError(f"{' '.join(command)}: it did not begin: its forker has ended")
        self.pid = pid

    def _told(self) -> int | None:
        """The next number on its pipe; waits for it. None: nobody is left to tell."""
        number = os.read(self._report, NUMBER.size)
        return int(NUMBER.unpack(number)[0]) if len(number) == NUMBER.size else None

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired; RuntimeError if its forker ended before it."""
        code = self._ended_within(timeout)
        if code is None and self._is_over:
            raise RuntimeError(f"{' '.join(self._command)}: nobody knows how it ended: its forker ended before it")
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Nothing if it has ended. Without its forker nobody knows: then it is sent, if there is such a process."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def _ended_within(self, timeout: float | None) -> int | None:
        """As several threads may ask, each waits by itself, and one reads."""
        ready = select.poll()
        ready.register(self._report, select.POLLIN)
        if not self._is_over and ready.poll(None if timeout is None else timeout * 1_000):
            with self._lock:
                if not self._is_over:
                    self._code, self._is_over = self._told(), True
        return self._code


class Forker:
    """Begins with the first start."""

    def __init__(self, environ: Mapping[str, str], every: int = 1) -> None:
        self._environ, self._every = environ, every
        self._asked = itertools.count(1)
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def can(self, command: Sequence[str], environ: Mapping[str, str]) -> bool:
        """A module of this checkout's interpreter, and nothing but settings sets it apart."""
        return [*command[:2]] == [sys.executable, "-m"] and _without_own(environ) == _without_own(self._environ)

    def is_its_turn(self) -> bool:
        """Asked once for each program that it can start."""
        return next(self._asked) % self._every == 0

    def start(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path, streams: Sequence[IO[Any]]
    ) -> Fork:
        """Raises OSError when the forker has ended; the next start begins another."""
        order = Order(command[2], [*command[3:]], dict(environ), str(folder.resolve()))
        message = json.dumps(order).encode()
        if len(message) > LARGEST:
            raise ValueError(f"{' '.join(command)}: its environment and arguments are longer than {LARGEST:,} bytes")
        reader, writer = os.pipe()
        try:
            with self._lock:
                self._send(message, [writer, *(stream.fileno() for stream in streams)])
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return Fork(command, reader)

    def close(self) -> None:
        """Its programs go on."""
        if self._server and self._control:
            with suppress(OSError):  # it has ended
                self._control.shutdown(socket.SHUT_RDWR)  # also for forks of this process, which have it too
            self._control.close()
            self._server.wait(_EXITS_WITHIN)

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._connected(), [message], descriptors)
        except OSError:
            self.close()
            self._control = self._server = None
            raise

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
