"""A stop that hangs ends all the same."""

import subprocess
import sys

import pytest

_HANGS = """
import logging, threading
from creditstream.worker.ending import end_within
logging.basicConfig()
end_within({seconds}, lambda: {code})
if {hangs}:
    threading.Event().wait()
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_stop_that_hangs_is_ended_with_a_line(code: int) -> None:
    done = run(_HANGS.format(seconds=0.1, code=code, hangs=True))
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert "not stopped after 0.1 s" in line


def test_a_stop_that_is_in_time_waits_for_nothing() -> None:
    done = run(_HANGS.format(seconds=1e6, code=1, hangs=False))
    assert (done.returncode, done.stderr) == (0, "")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
