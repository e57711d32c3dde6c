"""Which lines of the product run. Slow, and for one run only: what it finds is kept."""

import sys
import threading
from collections import defaultdict
from types import FrameType
from typing import Any

#: Calls in one test. What Hypothesis tries thousands of times, has run its lines by then.
_MOST_CALLS = 2_000_000


class Tracer:
    """Of files below a folder that are no tests."""

    def __init__(self, folder: str) -> None:
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

    def _entered(self, frame: FrameType, event: str, _: Any) -> Any:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            sys.settrace(None)
        path = frame.f_code.co_filename
        if path not in self._ours:
            self._ours[path] = path.startswith(self._folder) and not path.startswith(self._not)
        return self._line if self._ours[path] else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.lines[frame.f_code.co_filename].add(frame.f_lineno)
        return self._line
