"""Which test runs when: the longest first, so that at the end no process works alone."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files that take longest, or parts of them, the longest first; the others follow as pytest finds them.
FIRST = (
    "tests/chaos/test_short_run.py",
    "tests/acceptance/test_corpus.py",
    "tests/chaos/test_crash_points.py",
    "tests/chaos/test_operators_run.py",
    "tests/integration/test_any_answer.py",
    "tests/deploy/test_aws_rights.py",
    "tests/chaos/test_calibration.py",
    "tests/acceptance/test_retention.py",
    "tests/chaos/test_alerts.py",
    "tests/secure/test_kafka.py",
    "tests/useless/test_worker.py",
    "tests/chaos/test_letters_after_a_death.py",
    "tests/chaos/test_cluster.py",
    "tests/acceptance/test_dlq.py",
    "tests/acceptance/test_connections.py",
    "tests/acceptance/test_web.py",
    "tests/deploy/test_cloudformation.py",
)
#: What is quick, and keeps every process busy until the end.
_LAST = ("tests/unit/", "tests/packaging/")
#: Their tests share nothing that is dear to make: each goes where there is room.
_APART = ("tests/chaos/", "tests/acceptance/")


def in_order(nodeid: str) -> tuple[int, int]:
    """A key to sort by."""
    file = nodeid.partition("::")[0]
    return (FIRST.index(file) if file in FIRST else len(FIRST), int(file.startswith(_LAST)))


def scope_of(nodeid: str) -> str:
    """What goes to one process as a whole: the file, or the test alone."""
    return nodeid if nodeid.startswith(_APART) else nodeid.partition("::")[0]


class LongFirst(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types for its schedulers
    """Files go as they were sorted, whole or test by test; a process that is done takes the next."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
