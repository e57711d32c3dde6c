"""`.ci/run`: prints a second Python, the newest of another minor version than this one; nothing if there is none.

Standard library only.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Versions that the project supports and packages have wheels for.
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
#: Prints the version if a virtual environment for the lock can be made of it: no preview, no build without the lock.
_PROBE = """
import ensurepip, platform, sys, sysconfig, venv
if platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    if sys.version_info.releaselevel == "final":
        print(platform.python_version())
"""
_PROBE_WITHIN = 20.0


def candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Those on the PATH, and those that pyenv keeps, active or not."""
    for folder in environ.get("PATH", "").split(os.pathsep):
        for name in (*(f"python{version}" for version in SUPPORTED), "python3"):
            if folder and Path(folder, name).exists():
                yield Path(folder, name)
    pyenv = environ.get("PYENV_ROOT") or Path(environ.get("HOME") or Path.home(), ".pyenv")
    yield from sorted(Path(pyenv, "versions").glob("*/bin/python"))


def version(python: Path) -> str:
    """`3.13.0`; empty if it cannot be used. It is run: a version manager's shim may lead nowhere."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_WITHIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def minor(full: str) -> str:
    return ".".join(full.split(".")[:2])


def other(environ: Mapping[str, str], mine: str) -> Path | None:
    """The newest that is supported and not of `mine`, a minor version."""
    found = {version(python): python for python in candidates(environ)}
    others = [full for full in found if minor(full) in SUPPORTED and minor(full) != mine]
    newest = max(others, key=lambda full: [int(part) for part in full.split(".")], default="")
    return found[newest] if newest else None


if __name__ == "__main__":
    chosen = other(os.environ, minor(sys.version.split()[0]))
    if chosen:
        print(chosen)
