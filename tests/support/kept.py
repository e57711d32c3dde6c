"""What a slow check said without a complaint: it is kept for as long as nothing changes that it reads."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.support.servers import LOCAL

_ANSWERS = LOCAL / "cache" / "answers"


def answer_of(
    command: list[str], reads: Iterable[Path], version: object, ask: Callable[[], subprocess.CompletedProcess[str]]
) -> subprocess.CompletedProcess[str]:
    """`reads`: each file that it may read. `version`: of the program, and whatever else its answer depends on."""
    told = hashlib.sha256(repr((command, version)).encode())
    for file in sorted(reads):
        told.update(repr((str(file), file.read_bytes())).encode())
    kept = _ANSWERS / f"{Path(command[0]).name}-{told.hexdigest()[:16]}.json"
    if kept.exists():
        return subprocess.CompletedProcess(command, 0, *json.loads(kept.read_text()))
    done = ask()
    if done.returncode == 0:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps([done.stdout, done.stderr]))
        part.rename(kept)
    return done


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
