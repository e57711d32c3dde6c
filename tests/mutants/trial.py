"""One mutant after the other: put into the copy of the tree, and shown to the tests and to the simulation."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple, Self

from tests.mutants.forked import FAILED, FINE, NOT_SO, End
from tests.mutants.jobs import Job
from tests.mutants.places import Mutant
from tests.mutants.report import ALIVE
from tests.mutants.sample import Taken
from tests.mutants.selection import Record
from tests.mutants.tree import Tree

#: Of all programs of ours. Sets are gone through in one order, and only the tree's own modules are found.
ENVIRON = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": "", "PYTEST_ADDOPTS": ""}
_TESTS, _SIMULATION = "tests.mutants.server", "tests.mutants.simulated"
_NOT_TRIED = End(FINE, "", 0.0)
_HANGS = {-signal.SIGXCPU, -signal.SIGALRM}


class Verdict(NamedTuple):
    """`how`: unit, contracts, simulation or ALIVE. `by`: the test or the seed. `cpu`: seconds."""

    how: str
    by: str
    cpu: float


class Program:
    """A server of ours, from its start to its end."""

    def __init__(self, tree: Tree, *command: str) -> None:
        self._log = (tree.path / "mutants.log").open("a", encoding="utf-8")
        self._running = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tree.path,
            env=ENVIRON,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """It ends when there are no more jobs."""
        self._running.communicate()
        self._log.close()

    def do(self, job: Job) -> End | None:
        """None: it has not even started, or it has died."""
        assert self._running.stdin and self._running.stdout
        try:
            self._running.stdin.write(job.as_text() + "\n")
            self._running.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._running.stdout.readline()
        if line == "ready\n":
            line = self._running.stdout.readline()
        return End(*json.loads(line)) if line else None


class Trials:
    """The seeds of the simulation are played with a mutant that no test has found."""

    def __init__(self, tree: Tree, record: Record, folders: Sequence[str]) -> None:
        self._tree, self._record = tree, record
        self._running = {_TESTS: Program(tree, _TESTS, *folders)}
        if record.seeds:
            self._running[_SIMULATION] = Program(tree, _SIMULATION)

    def close(self) -> None:
        for program in self._running.values():
            program.__exit__()

    def verdict(self, taken: Taken) -> Verdict:
        mutant, cpu = taken.mutant, 0.0
        tests, seeds = self._record.tests_for(mutant), dict.fromkeys(self._record.seeds_for(mutant), 0.0)
        with self._tree.mutated(mutant.file, taken.text):
            for program, what in ((_TESTS, tests), (_SIMULATION, seeds)):
                end = self._shown(mutant, program, what) if what else _NOT_TRIED
                cpu += end.cpu
                if end.code != FINE:
                    return Verdict(_folder(end.told), end.told + _how(end), cpu)
        return Verdict(ALIVE, f"run by {len(tests)} tests, {len(seeds)} seeds", cpu)

    def _shown(self, mutant: Mutant, program: str, what: dict[str, float]) -> End:
        """By the server that runs, if it can give the mutant's code to functions; else by a new one."""
        if not self._record.is_imported(mutant):
            end = self._running[program].do(Job(mutant.file, mutant.outer, what))
            if end is None:
                raise RuntimeError(f"{program} has died")
            if end.code != NOT_SO:
                return end
        files = sorted({name.partition("::")[0] for name in what}) if program == _TESTS else []
        with Program(self._tree, program, *files) as new:
            return new.do(Job(mutant.file, None, what)) or End(FAILED, "not even imported", 0.0)


def _folder(told: str) -> str:
    """Of a test's name; or of what a seed was told to be."""
    parts = told.split("/")
    return "simulation" if told.startswith("seed ") else parts[1] if parts[2:] else "unit"


def _how(end: End) -> str:
    return "" if end.code > 0 else " (hangs)" if end.code in _HANGS else f" (signal {-end.code})"
