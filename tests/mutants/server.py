"""`python -m tests.mutants.server test…`: a pytest that has collected its tests, and forks for each mutant."""

import os
import sys
from pathlib import Path

import pytest

from tests.mutants.collected import Collected, run_pytest
from tests.mutants.forked import FAILED, FINE, NOT_SO, Tell, in_child, within
from tests.mutants.jobs import Job, own_streams, serve
from tests.mutants.swap import loaded_functions, put_in

#: Seconds that a test may take: of CPU, and while it waits; and so many times what it took when it was recorded.
_CPU, _WALL, _TIMES = 3.0, 20.0, 5.0


class Server(Collected):
    """Its loop is over what it is told, by the lines of its standard input."""

    def __init__(self, streams: tuple[int, int]) -> None:
        super().__init__()
        self._streams = streams

    def loop(self, items: dict[str, pytest.Item]) -> None:
        loaded = loaded_functions(str(Path.cwd()))

        def find(job: Job, tell: Tell) -> int:
            _write_no_bytecode()
            if job.outer and not put_in(loaded, str(Path(job.path).resolve()), job.outer):
                return NOT_SO
            return self._find(job, items, tell)

        serve(self._streams, lambda job: in_child(lambda tell: find(job, tell)))

    def _find(self, job: Job, items: dict[str, pytest.Item], tell: Tell) -> int:
        """In the child: FAILED after the test that found it."""
        files = {name.partition("::")[0] for name in items}
        for name in job.tests:
            if name.partition("::")[0] not in files:
                tell(f"{name.partition('::')[0]} cannot be imported")
                return FAILED
        chosen = [items[name] for name in job.tests if name in items]
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            tell(item.nodeid)
            usual = job.tests[item.nodeid]
            within(_CPU + _TIMES * usual, _WALL + 4 * _TIMES * usual)
            if self.fails(item, following):
                return FAILED
        return FINE


def _write_no_bytecode() -> None:
    """Neither this process nor a program that a test starts."""
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


if __name__ == "__main__":
    run_pytest(Server(own_streams()), sys.argv[1:])
