"""One step of the install: its output in a log, its progress for a person, its failure as one line.

Used by bootstrap.py; standard library only.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / ".local" / "bootstrap.log"
#: Without a terminal, progress is a line this often (seconds): enough to see that it lives, few enough for a CI log.
QUIET_INTERVAL = 10.0
_NO_NETWORK = re.compile(
    r"name resolution|Name or service not known|NewConnectionError|ConnectTimeout|Network is unreachable|"
    r"Connection refused|ReadTimeout|ProxyError|Could not find a version"
)


class BootstrapError(Exception):
    """One line for a person: what failed and what to do."""


class Progress:
    """`install 2/3 packages 37/92 … 12 s`: rewritten in place on a terminal, a line now and then elsewhere."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._started = time.monotonic()
        self._shown = self._started
        self._live = sys.stdout.isatty()
        self._print("")

    def update(self, what: str) -> None:
        now = time.monotonic()
        if self._live or now - self._shown >= QUIET_INTERVAL:
            self._shown = now
            self._print(what)

    def done(self) -> None:
        self._print("done")
        if self._live:
            print()

    def _print(self, what: str) -> None:
        line = f"install {self._step} {what} {time.monotonic() - self._started:.0f} s"
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", flush=True)


def run(step: str, command: list[str], describe: Callable[[str], str] = lambda line: "") -> None:
    """Run `command`, its output in the log, `describe(line)` as progress. Raises BootstrapError."""
    progress = Progress(step)
    lines: list[str] = []
    with LOG.open("a", buffering=1) as log:
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            lines.append(line.strip())
            progress.update(describe(line))
        code = process.wait()
    if code:
        print()
        raise BootstrapError(explain(step, code, lines))
    progress.done()


def explain(step: str, code: int, lines: list[str]) -> str:
    text, log = "\n".join(lines), LOG.relative_to(ROOT)
    if "ensurepip" in text:
        return f"this Python's venv module does not work (on Debian: apt install python3-venv); see {log}"
    if _NO_NETWORK.search(text):
        return f"packages do not download: is there a network, and a package index that pip knows? See {log}"
    errors = [line for line in lines if line.lower().startswith("error")] or lines or [f"exit code {code}"]
    return f"{step.split(' ', 1)[1]} failed: {errors[-1]} (all of it: {log})"
