"""`python -m tests.mutants.simulated SEEDS`: whole workers under virtual time, forked for each mutant and each seed."""

import sys
from pathlib import Path

import tests.simulation.clocks  # noqa: F401 - first: it replaces time's functions
from tests.mutants.forked import FAILED, FINE, NOT_SO, End, Tell, in_child, within
from tests.mutants.jobs import Job, own_streams, serve
from tests.mutants.swap import Loaded, loaded_functions, put_in
from tests.simulation import world  # noqa: F401 - imported here, and not again in each child
from tests.simulation.plan import make_plan
from tests.simulation.play import play
from tests.simulation.run import RECORDS

#: Seconds of a seed that takes one: of CPU, and while it waits for nothing.
_CPU, _WALL = 20.0, 120.0


def main(seeds: int) -> None:
    """The job's tests are not asked for: the seeds from 1 on are."""
    streams = own_streams()
    loaded = loaded_functions(str(Path.cwd()))
    serve(streams, lambda job: _first_red(job, loaded, seeds))


def _first_red(job: Job, loaded: Loaded, seeds: int) -> End:
    cpu = 0.0
    for seed in range(1, seeds + 1):
        end = in_child(lambda tell, seed=seed: _played(job, loaded, seed, tell))
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


if __name__ == "__main__":
    main(int(sys.argv[1]))
