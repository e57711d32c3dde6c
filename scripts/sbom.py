"""`make wheel` and the image: the bill of materials (CycloneDX 1.6) of requirements/runtime.txt, by cyclonedx-py.

Every package with its version and the hashes that pip accepts for it. The same lock gives the same bytes.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "creditstream.cdx.json"


def write(folder: Path, *, validate: bool = True) -> int:
    """The tool's exit code; `validate`: held against CycloneDX's schema, which takes some seconds."""
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    environ["PYTHONWARNINGS"] = "ignore::UserWarning"  # a lock says no dependency graph, and the tool says so at length
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        "requirements/runtime.txt",
        "--pyproject=pyproject.toml",
    ]
    options = ["--mc-type=application", "--output-reproducible", "--spec-version=1.6", "--of=JSON"]
    options += ["--validate" if validate else "--no-validate"]
    done = subprocess.run(
        [*command, *options, f"--output-file={folder.absolute() / NAME}"], cwd=ROOT, env=environ, check=False
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(write(Path(sys.argv[1])))
