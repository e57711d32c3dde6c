"""`python -m tests.mutants.record FILE test…`: which lines each test runs, and how long it takes, written to FILE."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.mutants.collected import Collected, run_pytest
from tests.mutants.hits import Tracer

#: In one test. What Hypothesis tries thousands of times has run its lines by then.
_MOST_CALLS = 2_000_000


class Recorder(Collected):
    def __init__(self, to: Path) -> None:
        super().__init__()
        self._to = to
        self._tracer = Tracer(f"{Path.cwd()}{os.sep}", _MOST_CALLS)
        self._tracer.start()

    def loop(self, items: dict[str, pytest.Item]) -> None:
        at_import, seconds = self._tracer.plain(), {}
        hits: dict[str, dict[str, list[int]]] = {}
        order = [*items.values()]
        for item, following in zip(order, [*order[1:], None], strict=True):
            self._tracer.begin()
            started = time.process_time()
            if not self.fails(item, following):
                seconds[item.nodeid] = round(time.process_time() - started, 3)
                hits[item.nodeid] = self._tracer.plain()
        self._tracer.stop()
        self._to.write_text(json.dumps({"at_import": at_import, "seconds": seconds, "hits": hits}), encoding="utf-8")


if __name__ == "__main__":
    run_pytest(Recorder(Path(sys.argv[1])), sys.argv[2:])
