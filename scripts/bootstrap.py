"""Makes `.venv` from the lock file: once per lock and Python, repaired after a killed run, one make at a time.

Called by bootstrap.sh, which has checked that this Python is new enough and has venv; the argument, if there is one, is
the folder to make instead of `.venv`. Standard library only.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.steps import LOG, ROOT, BootstrapError, run

VENV = (ROOT / (sys.argv[1:] or [".venv"])[0]).absolute()
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "lock.txt"
STAMP = VENV / ".creditstream-installed"
#: Stands in `.venv` while it is written: found at a start, that run was killed and the folder is not to be trusted.
UNFINISHED = VENV / ".creditstream-installing"
_ANOTHER_USER = "if make once ran as another user, remove .venv and .local, or run it as that user"


def key() -> str:
    """Changes when what is to be installed changes."""
    digest = hashlib.sha256()
    for path in (LOCK, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(wanted: str) -> bool:
    """Whether all is there, for the Python that `.venv` now runs: the system may have got another one since."""
    try:
        return STAMP.read_text() == f"{wanted} {present()}" and not UNFINISHED.exists() and fits()
    except OSError:
        return False


def version(python: str | Path) -> str:
    """`3.13 in /usr/lib/python3.13`: packages are built for a minor version; empty if it does not run."""
    tell = "import os, sys; print('%d.%d in' % sys.version_info[:2], os.path.dirname(os.path.realpath(os.__file__)))"
    command = [str(python), "-c", tell]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def present() -> str:
    """Of `.venv`."""
    return version(PYTHON)


def fits() -> bool:
    """Whoever names a Python gets it; otherwise the one that `.venv` has will do."""
    return not os.environ.get("PYTHON") or present() == version(sys.executable)


def base_python() -> str:
    """This Python, or the one behind it if it runs out of an environment, which may be the one that is made anew."""
    behind = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return str(behind) if sys.prefix != sys.base_prefix and behind.exists() else sys.executable


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
    there, why = present(), ""
    if UNFINISHED.exists():
        why = "is half-installed"
    elif there and not fits():
        why = f"is of Python {there}, not {version(sys.executable)}"
    elif VENV.exists() and not pip_works():
        why = "is half-installed, or its Python is gone"
    if why:
        print(f"install: {VENV.name} {why}: making it again", flush=True)
        shutil.rmtree(VENV)
    fresh = not VENV.exists()
    VENV.mkdir(parents=True, exist_ok=True)
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    if fresh:
        run(f"1/3 {VENV.name}", [base_python(), "-m", "venv", str(VENV)])


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
    part.write_text(f"{wanted} {version(PYTHON)}")
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
    except OSError as error:
        print(f"creditstream: the install failed: {error}; {_ANOTHER_USER}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncreditstream: interrupted; the next make starts the install again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)  # a PYTHONPATH from outside must not shadow what pip installs
    sys.exit(main())
