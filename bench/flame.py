"""`make bench BENCH='flame --to FILE'`: a flame graph (SVG, by py-spy) of a worker at full load, of any revision.

`--revision` takes the program, not the benchmark, from git: the same orders, servers and libraries before and after.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from bench.burst import Measured, a_place, at_work, burst, some_orders
from bench.contenders import Creditstream
from bench.run import started
from devtools.stack import Stack, StackError
from tests.chaos.previous import check_out

_ROOT = Path(".local/bench-flame")
_VERSIONS = Path(".local/versions")
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
    try:
        program = check_out(options.revision, _VERSIONS).code if options.revision else Path.cwd()
    except StackError as error:
        raise SystemExit(f"creditstream: {error}") from None
    with started(_ROOT) as stack:
        stack.set_risk(latency_ms=0)
        measured = _record(stack, program, spy, options.to, options.orders)
    print(f"{measured.cpu_us:,.0f} µs CPU per order while it was recorded; {options.to}")
    return 0


def _record(stack: Stack, program: Path, spy: Path, to: Path, orders: int) -> Measured:
    worker = Creditstream(a_place(stack, "flame", _ROOT), PYTHONPATH=str(program))
    part = to.with_suffix(".part.svg")
    with at_work(stack, worker):
        burst(worker, some_orders(_WARM_UP, seed=1))
        to.parent.mkdir(parents=True, exist_ok=True)
        command = [spy, "record", "--pid", str(worker.pid), "--rate", _RATE, "--nonblocking", "--output", part]
        with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) as recording:
            try:
                measured = burst(worker, some_orders(orders, seed=2))
            finally:
                recording.send_signal(signal.SIGINT)
    # py-spy writes its own command into the picture, with this machine's paths.
    to.write_text(part.read_text().replace(str(spy), "py-spy").replace(str(part), to.name))
    part.unlink()
    return measured


if __name__ == "__main__":
    sys.exit(main())
