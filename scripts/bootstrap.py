"""Makes `.venv` from the lock file: once per lock, repaired after a killed run, one make at a time.

Standard library only. bootstrap.sh has checked that this Python is new enough and has venv.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "lock.txt"
STAMP = VENV / ".creditstream-installed"
#: Stands in `.venv` while it is written: found at a start, that run was killed and the folder is not to be trusted.
UNFINISHED = VENV / ".creditstream-installing"
LOG = ROOT / ".local" / "bootstrap.log"
#: Without a terminal, progress is a line this often (seconds): enough to see that it lives, few enough for a CI log.
QUIET_INTERVAL = 10.0
_NO_NETWORK = re.compile(
    r"name resolution|Name or service not known|NewConnectionError|ConnectTimeout|Network is unreachable|"
    r"Connection refused|ReadTimeout|ProxyError|Could not find a version"
)


class BootstrapError(Exception):
    """One line for a person: what failed and what to do."""


def key() -> str:
    """Changes when what is to be installed changes."""
    digest = hashlib.sha256()
    for path in (LOCK, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(wanted: str) -> bool:
    try:
        return STAMP.read_text() == wanted and not UNFINISHED.exists() and PYTHON.exists()
    except OSError:
        return False


@contextmanager
def only_one() -> Iterator[None]:
    """Holds `.local/bootstrap.lock`; a second make waits and then finds the work done."""
    LOG.parent.mkdir(exist_ok=True)
    with (ROOT / ".local" / "bootstrap.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("install: another make is installing into .venv: waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


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


def package_counter() -> Callable[[str], str]:
    total = len(re.findall(r"^[A-Za-z0-9].*==", LOCK.read_text(), re.M))
    seen = 0

    def describe(line: str) -> str:
        nonlocal seen
        if line.startswith(("Collecting ", "Requirement already satisfied")):
            seen += 1
        installing = line.startswith("Installing collected")
        return f"{seen}/{total} (putting them in place)" if installing else f"{seen}/{total}"

    return describe


def make_venv() -> None:
    if UNFINISHED.exists() or (VENV.exists() and not pip_works()):
        print("install: .venv is half-installed: making it anew", flush=True)
        shutil.rmtree(VENV)
    fresh = not VENV.exists()
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    if fresh:
        run("1/3 .venv", [sys.executable, "-m", "venv", str(VENV)])


def pip_works() -> bool:
    try:
        return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install(wanted: str) -> None:
    LOG.unlink(missing_ok=True)
    make_venv()
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    run("2/3 packages", [*pip, "--require-hashes", "-r", str(LOCK.relative_to(ROOT))], package_counter())
    run("3/3 creditstream", [*pip, "--no-deps", "--no-build-isolation", "-e", "."])
    part = STAMP.with_suffix(".part")
    part.write_text(wanted)
    part.replace(STAMP)
    UNFINISHED.unlink()


def main() -> int:
    wanted = key()
    if installed(wanted):
        return 0
    try:
        with only_one():
            if not installed(wanted):
                install(wanted)
    except BootstrapError as error:
        print(f"creditstream: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncreditstream: interrupted; the next make starts the install anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)  # a PYTHONPATH from outside must not shadow what pip installs
    sys.exit(main())
