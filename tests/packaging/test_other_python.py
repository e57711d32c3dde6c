"""The second Python of continuous integration: found wherever it is, and only if it can be used."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.other_python import other

ROOT = Path(__file__).resolve().parents[2]


def python(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'no'}::{tmp_path / 'bin'}", "HOME": str(tmp_path / "home")}


def test_the_newest_that_works_is_taken_be_it_on_the_path_or_kept_by_pyenv(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    assert other(environ, "3.11") is None
    python(tmp_path / "bin" / "python3.11", "echo 3.11.9")
    python(tmp_path / "bin" / "python3.14", "exit 127")
    python(tmp_path / "bin" / "python3", "echo 3.15.0")
    assert other(environ, "3.11") is None, "its own version, a shim that leads nowhere, one that is not supported"
    found = python(tmp_path / "bin" / "python3.12", "echo 3.12.10")
    python(tmp_path / "home/.pyenv/versions/3.12.9/bin/python", "echo 3.12.9")
    assert other(environ, "3.11") == found
    kept = python(tmp_path / "home/.pyenv/versions/3.13.0/bin/python", "echo 3.13.0")
    assert other(environ, "3.11") == kept
    assert other(environ, "3.13") == found
    assert other(environ | {"PYENV_ROOT": str(tmp_path / "elsewhere")}, "3.11") == found


def test_what_it_asks_a_python_is_answered_by_a_real_one(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    assert other(environ, "3.1") == tmp_path / "bin" / "python3"


def test_as_a_program_it_prints_a_path_or_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    command = [sys.executable, "scripts/other_python.py"]
    for version in ("", "3.11", "3.12"):
        expected = f"{python(tmp_path / 'bin' / f'python{version}', f'echo {version}.1')}\n" if version else ""
        if not sys.version.startswith(version or "none"):
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
            assert done.stdout == expected
