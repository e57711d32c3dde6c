"""`make bench BENCH='flame --to FILE'`: a flame graph (SVG, by py-spy) of a worker at full load, of any revision.

`--revision` takes the program, not the benchmark, from git: the same orders, servers and libraries before and after.
"""

import argparse
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.burst import Measured, a_place, burst, leave, some_orders
from bench.contenders import Creditstream
from bench.run import started
from creditstream.dev.stack import Stack

_ROOT = Path(".local/bench-flame")
_WARM_UP = 5_000
_RATE = "200"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=flame", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="the SVG file")
    parser.add_argument("--revision", default="", help="of the program, such as a commit; without it: as it is here")
    parser.add_argument("--orders", type=int, default=30_000)
    options = parser.parse_args()
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise SystemExit(f"creditstream: no py-spy: {sys.executable} -m pip install py-spy")
    with _program(options.revision) as folder, started(_ROOT) as stack:
        stack.set_risk(latency_ms=0)
        measured = _record(stack, folder, spy, options.to, options.orders)
    print(f"{measured.cpu_us:,.0f} µs CPU per order while it was recorded; {options.to}")
    return 0


@contextmanager
def _program(revision: str) -> Iterator[Path]:
    """Where the program stands: this checkout, or a folder with that revision."""
    if not revision:
        yield Path.cwd()
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run([_git(), "archive", revision], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def _git() -> str:
    return shutil.which("git") or sys.exit("creditstream: --revision needs git")


def _record(stack: Stack, program: Path, spy: Path, to: Path, orders: int) -> Measured:
    place = a_place(stack, "flame", _ROOT)
    worker = Creditstream(place, PYTHONPATH=str(program))
    worker.start()
    try:
        burst(worker, some_orders(_WARM_UP, seed=1))
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_suffix(".part.svg")
        command = [spy, "record", "--pid", str(worker.pid), "--rate", _RATE, "--nonblocking", "--output", part]
        with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) as recording:
            try:
                return burst(worker, some_orders(orders, seed=2))
            finally:
                recording.send_signal(signal.SIGINT)
                recording.wait()
                # py-spy writes its own command into the picture, with this machine's paths.
                to.write_text(part.read_text().replace(str(spy), "py-spy").replace(str(part), to.name))
                part.unlink()
    finally:
        worker.stop()
        leave(stack, place)


if __name__ == "__main__":
    sys.exit(main())
