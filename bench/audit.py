"""`make bench BENCH=audit`: seconds, CPU and memory of an audit (ORDERS=1000000), its helpers included."""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.audit_books import fill_books
from bench.burst import a_place
from bench.report import machine, save
from bench.run import started

_ROOT = Path(".local/audit")
_POLL = 0.2
_MB = 1_000_000


class Measured(NamedTuple):
    """Of one audit: its own and its helpers' together, without the servers'."""

    orders: int
    seconds: float
    cpu_us: float
    memory_mb: float
    files_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=audit", description=__doc__)
    parser.add_argument("--orders", type=int, action="append", help="how many; may be repeated: default 1,000,000")
    options = parser.parse_args()
    found = []
    with started(_ROOT) as stack:
        for orders in options.orders or [1_000_000]:
            place = a_place(stack, "audit", _ROOT)
            fill_books(dict(place.environ), stack.tools, orders)
            found.append(measure({**place.environ, "CREDITSTREAM_DATA_DIR": str(place.folder / "data")}, orders))
            print(f"{orders:,} orders: {found[-1].seconds:.1f} s", flush=True)
    show(found)
    save("audit", audit=[each._asdict() for each in found])
    return 0


def measure(environ: Mapping[str, str], orders: int) -> Measured:
    """Raises SystemExit when the audit does not find all of them well."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDITSTREAM_")}
    command = [sys.executable, "-m", "faust", "-A", "creditstream", "audit", "--json"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen(command, env={**inherited, **environ}, stdout=subprocess.PIPE) as process:
        peaks = Peaks(process.pid, Path(environ["CREDITSTREAM_DATA_DIR"]))
        watching = threading.Thread(target=peaks.watch, args=(process,))
        watching.start()
        said, _ = process.communicate()
        watching.join()
    report = json.loads(said or b"{}")
    if process.returncode or report["orders"] != orders:
        raise SystemExit(f"creditstream: the audit ended with {process.returncode}: {report}")
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(orders, seconds, spent / orders * 1e6, peaks.memory / _MB, peaks.files / _MB)


class Peaks:
    """The most that a process and its children had in memory at one time, and its temporary files on the disk."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid, self._folder = pid, folder
        self.memory = self.files = 0

    def watch(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            self.memory = max(self.memory, sum(map(_memory, [self._pid, *_children(self._pid)])))
            self.files = max(self.files, sum(map(_size, self._folder.glob("audit-*/*"))))
            time.sleep(_POLL)


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _memory(pid: int) -> int:
    """Bytes, of what is shared a share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def show(found: list[Measured]) -> None:
    table = Table(title=f"An audit; {machine()}")
    for head in ("orders", "seconds", "CPU µs/order", "peak memory MB", "temporary files MB"):
        table.add_column(head, justify="right")
    for each in found:
        numbers = (each.seconds, each.cpu_us, each.memory_mb, each.files_mb)
        table.add_row(f"{each.orders:,}", *(f"{number:,.1f}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
