"""Whole workers under virtual time, forked for each mutant and each seed.

`python -m tests.mutants.simulated` plays what it is told to; with `FILE SEEDS` it writes which lines each seed runs.
"""

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import tests.simulation.clocks  # noqa: F401 - first: it replaces time's functions
from tests.mutants.forked import FAILED, FINE, NOT_SO, End, Tell, in_child, within
from tests.mutants.hits import Tracer
from tests.mutants.jobs import Job, own_streams, serve
from tests.mutants.swap import Loaded, loaded_functions, put_in
from tests.simulation import world  # noqa: F401 - imported here, and not again in each child
from tests.simulation.plan import RECORDS, make_plan
from tests.simulation.play import play

#: Seconds of a seed that takes two: of CPU, and while it waits for nothing.
_CPU, _WALL = 20.0, 120.0


def main() -> None:
    if len(sys.argv) > 1:
        _record(Path(sys.argv[1]), int(sys.argv[2]))
        return
    streams = own_streams()
    loaded = loaded_functions(str(Path.cwd()))
    serve(streams, lambda job: _first_red(job, loaded))


def _first_red(job: Job, loaded: Loaded) -> End:
    cpu = 0.0
    for seed in job.tests:
        end = in_child(partial(_played, job, loaded, int(seed)))
        cpu += end.cpu
        if end.code != FINE:
            return End(end.code, end.told, cpu)
    return End(FINE, "", cpu)


def _played(job: Job, loaded: Loaded, seed: int, tell: Tell) -> int:
    """In the child."""
    sys.dont_write_bytecode = True
    if job.outer and not put_in(loaded, str(Path(job.path).resolve()), job.outer):
        return NOT_SO
    tell(f"seed {seed}")
    within(_CPU, _WALL)
    wrong = play(make_plan(seed, RECORDS)).wrong
    if wrong:
        tell(f"seed {seed}: {wrong[0]}")
    return FAILED if wrong else FINE


def _record(to: Path, seeds: int) -> None:
    lines = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, seeds + 1):
            written = Path(folder) / str(seed)
            if in_child(partial(_traced, seed, written)).code == FINE:
                lines[str(seed)] = json.loads(written.read_text(encoding="utf-8"))
    to.write_text(json.dumps(lines), encoding="utf-8")


def _traced(seed: int, to: Path, _: Tell) -> int:
    """In the child. A seed that is red without a mutant is left out."""
    tracer = Tracer(f"{Path.cwd()}{os.sep}")
    tracer.start()
    wrong = play(make_plan(seed, RECORDS)).wrong
    tracer.stop()
    to.write_text(json.dumps(tracer.plain()), encoding="utf-8")
    return FAILED if wrong else FINE


if __name__ == "__main__":
    main()
