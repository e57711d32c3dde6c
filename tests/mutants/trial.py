"""One mutant after the other: put into the copy of the tree, and shown to the tests and to the simulation."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from tests.mutants.forked import FINE, NOT_SO, End
from tests.mutants.jobs import Job
from tests.mutants.places import Mutant
from tests.mutants.report import ALIVE
from tests.mutants.sample import Taken
from tests.mutants.selection import Record
from tests.mutants.tree import Tree

_HANGS = {-signal.SIGXCPU, -signal.SIGALRM}


class Verdict(NamedTuple):
    """`how`: unit, contracts, simulation or ALIVE. `by`: the test or the seed. `cpu`: seconds."""

    how: str
    by: str
    cpu: float


class Program:
    """A server of ours, from its start to its end."""

    def __init__(self, tree: Tree, *command: str) -> None:
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": ""}
        self._log = (tree.path / "mutants.log").open("a", encoding="utf-8")
        self._running = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tree.path,
            env=environ,
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
    """`seeds` of the simulation are played with a mutant that no test has found; 0: there is no simulation."""

    def __init__(self, tree: Tree, record: Record, folders: Sequence[str], seeds: int) -> None:
        self._tree, self._record, self._seeds = tree, record, seeds
        self._simulated = ("tests.mutants.simulated", str(seeds))
        self._running = {"tests": Program(tree, "tests.mutants.server", *folders)}
        if seeds:
            self._running["simulation"] = Program(tree, *self._simulated)

    def close(self) -> None:
        for program in self._running.values():
            program.__exit__()

    def verdict(self, taken: Taken) -> Verdict:
        mutant, cpu = taken.mutant, 0.0
        tests = self._record.tests_for(mutant)
        with self._tree.mutated(mutant.file, taken.text):
            if tests:
                files = sorted({name.partition("::")[0] for name in tests})
                end = self._shown(mutant, "tests", ("tests.mutants.server", *files), tests)
                cpu += end.cpu
                if end.code != FINE:
                    return Verdict(_folder(end.told), end.told + _how(end), cpu)
            if self._seeds:
                end = self._shown(mutant, "simulation", self._simulated, {})
                cpu += end.cpu
                if end.code != FINE:
                    return Verdict("simulation", end.told + _how(end), cpu)
        return Verdict(ALIVE, "" if tests else "no test runs this line", cpu)

    def _shown(self, mutant: Mutant, program: str, cold: tuple[str, ...], tests: dict[str, float]) -> End:
        """By the server that runs, if it can give the mutant's code to functions; else by a new one."""
        path = str(Path(mutant.file))
        if not self._record.is_imported(mutant):
            end = self._running[program].do(Job(path, mutant.outer, tests))
            if end is None:
                raise RuntimeError(f"the server of the {program} has died")
            if end.code != NOT_SO:
                return end
        with Program(self._tree, *cold) as new:
            return new.do(Job(path, None, tests)) or End(1, "unit: not even imported", 0.0)


def _folder(test: str) -> str:
    parts = test.split("/")
    return parts[1] if parts[0] == "tests" and parts[2:] else "unit"


def _how(end: End) -> str:
    return "" if end.code > 0 else " (hangs)" if end.code in _HANGS else f" (signal {-end.code})"
