"""The forker: `python -m devtools.forks.server FD PACKAGE`, started by devtools.forks.client. It has no thread, and no
socket but FD; a program begins in a fork of it, as `python -m` would begin it. PACKAGE has the Faust app."""

import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from devtools.forks.order import LARGEST, NUMBER, Order

#: Whoever imports these makes the Faust app of a process, by its environment.
_MAKES_THE_APP = ("agents.",)
#: The report's end and the program's standard input, output and error.
_DESCRIPTORS = 4


def main() -> NoReturn:
    preload(sys.argv[2])
    order = serve(socket.socket(fileno=int(sys.argv[1])))
    become(order)


def preload(package: str) -> None:
    """All that a worker and the commands import, without the app itself."""
    for name in imported_by_a_program(package):
        importlib.import_module(name)
    if "app" in vars(sys.modules[package]) or len(os.listdir("/proc/self/task")) != 1:
        raise SystemExit("forker: an import made the app or started a thread; every program would share it")
    gc.freeze()


def imported_by_a_program(package: str) -> list[str]:
    """The names of the modules, found by a fork that makes an app as a program does."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        importlib.import_module(package).app.finalize()
        modules = [name for name in sys.modules if not name.startswith(_MAKES_THE_APP)]
        os.write(writer, json.dumps(modules).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        modules = json.loads(told.read() or b"[]")
    os.wait()
    return [name for name in modules if name != "__main__"]


def serve(control: socket.socket) -> Order:
    """Forks until the other side is gone. Returns in the forks alone."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready != control.fileno():
                poll.unregister(ready)
                tell_the_end(ready, *running.pop(ready))
                continue
            message, descriptors, *_ = socket.recv_fds(control, LARGEST, _DESCRIPTORS)
            if not message:
                raise SystemExit
            report, *standard = descriptors
            if (pid := os.fork()) == 0:
                control.close()
                for watched, (_, told) in running.items():
                    os.close(watched)
                    os.close(told)
                return begun(Order(*json.loads(message)), report, standard)
            for descriptor in standard:
                os.close(descriptor)
            watched = os.pidfd_open(pid)
            running[watched] = pid, report
            poll.register(watched, select.POLLIN)


def tell_the_end(watched: int, pid: int, report: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(watched)
    with suppress(BrokenPipeError):  # nobody asks any more
        os.write(report, NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os.close(report)


def begun(order: Order, report: int, standard: list[int]) -> Order:
    """In the fork: a session, descriptors, a folder and an environment of its own; then its id is told."""
    os.setsid()
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environ)
    time.tzset()
    os.write(report, NUMBER.pack(os.getpid()))
    os.close(report)
    return order


def become(order: Order) -> NoReturn:
    """What `python -m` does, the end of the process included."""
    sys.path[0] = order.folder
    sys.argv[:] = [str(Path(order.folder) / order.module), *order.arguments]
    # Faust puts a module without a spec in its own place, which runpy does not take.
    is_package = hasattr(sys.modules.get(order.module), "__path__")
    runpy.run_module(f"{order.module}.__main__" if is_package else order.module, run_name="__main__", alter_sys=True)
    raise SystemExit


if __name__ == "__main__":
    main()
