"""When orders in flight could be lost to their worker: at each crash, and while a rebalance was on."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from tests.chaos.evidence import Window
from tests.chaos.verify_calls import merged

#: As a worker's log tells it (creditstream.worker.runtime). The time is the machine's own.
_LINE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ [\w.]+: (rebalancing|at work on partitions)", re.MULTILINE
)
#: A worker that says no more: it died, and its orders were taken from it when it did.
_AT_ONCE = 0.0


def rebalances(logs: Path) -> list[Window]:
    """All of a run: from the first worker's word that it gives up its partitions to the last one's that it has some."""
    return merged(window for log in logs.glob("worker-*.log") for window in windows_of(log.read_text(errors="replace")))


def windows_of(log: str) -> Iterator[Window]:
    """Of one worker, whose log goes on in its next life."""
    began: float | None = None
    for said, what in _LINE.findall(log):
        at = datetime.strptime(said, "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007 - the machine's own zone
        if what == "rebalancing":
            if began is not None:
                yield began, began + _AT_ONCE
            began = at
        elif began is not None:
            yield began, at
            began = None
    if began is not None:
        yield began, began + _AT_ONCE


def all_disruptions(crashes: Iterable[Window], logs: Path) -> list[Window]:
    """Each crash for itself: the rebalance that it causes comes later, and finds more orders."""
    return [*crashes, *rebalances(logs)]
