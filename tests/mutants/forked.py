"""A piece of work in a forked process, within bounds: a mutant may go on for ever, or take all memory."""

import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

#: Bytes. The whole unit suite needs a tenth of it.
_MEMORY = 8 << 30
#: Seconds between two looks whether a child that says nothing is still there.
_LOOK = 0.5
#: Seconds without a processor that are not made up for.
_LITTLE = 0.05
#: Exit codes of a child. NOT_SO: the mutant needs another way.
FINE, FAILED, NOT_SO = 0, 1, 3

#: Tells the parent a line.
Tell = Callable[[str], None]


class End(NamedTuple):
    """`code`: the child's exit code, or a signal's number with a minus. `told`: the last that it said."""

    code: int
    told: str
    cpu: float


def in_child(work: Callable[[Tell], int]) -> End:
    """`work` returns the exit code. Whatever it has started is ended with it."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        _work(work, writes)
    os.close(writes)
    lines = _heard(reads, child)
    os.close(reads)
    with suppress(ProcessLookupError, PermissionError):  # before it is the first of a group of its own
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    cpu = used.ru_utime + used.ru_stime
    if lines and lines[-1].startswith("="):
        return End(int(lines[-1][1:]), lines[-2] if lines[1:] else "", cpu)
    return End(os.waitstatus_to_exitcode(status), lines[-1] if lines else "", cpu)


def within(cpu: float, wall: float) -> None:
    """From now on this process has so many seconds of CPU, and of time in which it may wait. Then it is killed.

    Time in which it could run and the machine runs others does not count.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + cpu) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    _alarm(wall, _starved())


def _alarm(wall: float, starved: float) -> None:
    """No clock is asked: those of the simulation are its own."""

    def rings(*_: object) -> None:
        lost = _starved() - starved
        if lost < _LITTLE:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGALRM)
        _alarm(lost, starved + lost)

    signal.signal(signal.SIGALRM, rings)
    signal.setitimer(signal.ITIMER_REAL, wall)


def _starved() -> float:
    """Seconds for which this process was ready to run and had no processor."""
    try:
        _, waited, *_ = Path("/proc/self/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0.0  # no Linux
    return int(waited) / 1e9


def _work(work: Callable[[Tell], int], writes: int) -> None:
    """Never returns. The exit code is told, too: what is in the way of an end must not hold the parent up."""

    def tell(line: str) -> None:
        os.write(writes, line.encode(errors="replace") + b"\n")

    code = FAILED
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        code = work(tell)
    except BaseException as error:  # noqa: BLE001 - a mutant may raise anything, also SystemExit
        print(f"mutants: {error!r}", file=sys.stderr)
    finally:
        tell(f"={code}")
        os._exit(code)


def _heard(reads: int, child: int) -> list[str]:
    """What is told until the exit code, or until the child has died."""
    heard = b""
    while not heard.endswith(b"\n") or not heard.splitlines()[-1].startswith(b"="):
        said = os.read(reads, 65_536) if select.select([reads], [], [], _LOOK)[0] else b""
        heard += said
        if not said and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    return heard.decode(errors="replace").splitlines()
