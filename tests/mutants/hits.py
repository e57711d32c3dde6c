"""Which lines of the product run. Slow, and for one run only: what it finds is kept."""

import sys
import threading
from collections import defaultdict
from types import FrameType
from typing import Any


class Tracer:
    """Of files below a folder that are no tests."""

    def __init__(self, folder: str, most_calls: float = float("inf")) -> None:
        """`most_calls`: of one test, after which no more is noted of it."""
        self._most_calls = most_calls
        self._folder, self._not = folder, f"{folder}tests"
        self._ours: dict[str, bool] = {}
        self._calls = 0
        self.lines: dict[str, set[int]] = defaultdict(set)

    def start(self) -> None:
        threading.settrace(self._entered)
        sys.settrace(self._entered)

    def stop(self) -> None:
        sys.settrace(None)

    def begin(self) -> None:
        """What ran before is forgotten."""
        self._calls, self.lines = 0, defaultdict(set)
        self.start()

    def plain(self) -> dict[str, list[int]]:
        """Of the lines that ran since the last call of `begin`, by path below the folder."""
        return {path.removeprefix(self._folder): sorted(lines) for path, lines in self.lines.items()}

    def _entered(self, frame: FrameType, event: str, _: Any) -> Any:
        self._calls += 1
        if self._calls > self._most_calls:
            sys.settrace(None)
        path = frame.f_code.co_filename
        if path not in self._ours:
            self._ours[path] = path.startswith(self._folder) and not path.startswith(self._not)
        return self._line if self._ours[path] else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.lines[frame.f_code.co_filename].add(frame.f_lineno)
        return self._line
