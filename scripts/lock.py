"""`make lock`: the lock files anew, with hashes and without any download address.

lock.txt from pyproject.toml. Of its packages: runtime.txt, what an image gets, and build.txt, what builds it.
bench.txt, which only `make bench` installs, from bench.in; cloud.txt, of the tests of deploy/aws, from cloud.in.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_AS_LOCKED = ["--constraint=requirements/lock.txt"]
#: Each lock file, what it is made from, and that source's own options.
LOCKS: tuple[tuple[Path, str, list[str]], ...] = (
    (ROOT / "requirements" / "lock.txt", "pyproject.toml", ["--extra=dev"]),
    (ROOT / "requirements" / "runtime.txt", "pyproject.toml", ["--extra=msk", *_AS_LOCKED]),
    (ROOT / "requirements" / "build.txt", "requirements/build.in", _AS_LOCKED),
    (ROOT / "requirements" / "bench.txt", "requirements/bench.in", []),
    (ROOT / "requirements" / "cloud.txt", "requirements/cloud.in", []),
)
OPTIONS = [
    "--quiet",
    "--strip-extras",
    "--allow-unsafe",  # setuptools and pip too: nothing is fetched outside the lock
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
]
_ADDRESS = re.compile(r"://|^-|(?<![\w.])/(work|root|home|opt|tmp|usr)/", re.MULTILINE)


def main() -> int:
    return next((code for lock in LOCKS if (code := compile_lock(*lock))), 0)


def compile_lock(lock: Path, source: str, options: list[str]) -> int:
    """The exit code."""
    name = str(lock.relative_to(ROOT))
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *options, f"--output-file={name}"]
    environ = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    done = subprocess.run([*command, source], cwd=ROOT, env=environ, check=False)
    if done.returncode:
        return done.returncode
    found = _ADDRESS.search(lock.read_text())
    if found:
        print(f"creditstream: {name} holds an address or a path: {found.group()!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
