"""The install: which Python it takes, what it says when it cannot, and when it makes `.venv` anew."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Where this Python stands, without the environment around it.
BASE = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
#: A project whose install needs nothing: an editable wheel with one empty line.
_BACKEND = """
import zipfile
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    info = "tiny-1.dist-info/"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", f"{info}METADATA,,\\n{info}WHEEL,,\\n{info}RECORD,,\\n")
    return name
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
#: Programs that the script needs besides a Python.
_TOOLS = ("dirname", "sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an empty lock; `tools` is all that is on its PATH."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements").mkdir()
    (folder / "requirements" / "lock.txt").touch()
    (folder / "pyproject.toml").write_text(_PROJECT)
    (folder / "backend.py").write_text(_BACKEND)
    (folder / "tools").mkdir()
    for name in _TOOLS:
        found = shutil.which(name)
        assert found
        (folder / "tools" / name).symlink_to(found)
    return folder


def program(checkout: Path, name: str, script: str) -> str:
    """A program on the PATH. `python` in it: the real one."""
    path = checkout / "tools" / name
    path.write_text(f"#!/bin/sh\npython={BASE}\n{script}\n")
    path.chmod(0o755)
    return str(path)


def bootstrap(checkout: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    values = {"PATH": str(checkout / "tools"), "HOME": str(checkout), **environ}
    command = ["/bin/sh", "scripts/bootstrap.sh"]
    return subprocess.run(command, cwd=checkout, env=values, capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("creditstream: ")
    return line


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "it is not there, or does not run"),
        ("exit 1", "it is not there, or does not run"),
        ('case "$2" in *exit*) exit 1;; *) echo cpython 3.9.2;; esac', "it is cpython 3.9.2"),
        ('case "$2" in *ensurepip*) exit 1;; *) exec $python "$@";; esac', "has no venv module"),
    ],
)
def test_a_named_python_that_cannot_be_used_is_told_and_no_other_is_taken(
    checkout: Path, script: str | None, said: str
) -> None:
    program(checkout, "python3", 'exec $python "$@"')
    named = program(checkout, "named", script) if script else "/nowhere/python3.13"
    line = refused(bootstrap(checkout, PYTHON=named))
    assert named in line and said in line
    assert not (checkout / ".venv").exists()


def test_without_any_the_line_says_what_is_needed(checkout: Path) -> None:
    program(checkout, "python3", 'case "$1" in --version) echo Python 3.10.13;; *) exit 1;; esac')
    assert "Python 3.11 or newer is needed and there is Python 3.10.13" in refused(bootstrap(checkout))


def test_a_folder_that_cannot_be_written_is_one_line(checkout: Path) -> None:
    (checkout / "tools" / "python3").symlink_to(BASE)
    (checkout / ".local").touch()
    line = refused(bootstrap(checkout))
    assert str(checkout / ".local") in line and "as another user" in line


def test_the_machines_own_comes_first_and_a_shim_that_leads_nowhere_is_passed_over(checkout: Path) -> None:
    program(checkout, "python3.14", "exit 127")
    for name in ("python3.13", "python3.12"):
        program(checkout, name, f'case "$2" in scripts.bootstrap) echo {name};; *) exec $python "$@";; esac')
    assert bootstrap(checkout).stdout == "python3.13\n"
    program(checkout, "python3", 'case "$2" in scripts.bootstrap) echo mine;; *) exec $python "$@";; esac')
    assert bootstrap(checkout).stdout == "mine\n"


def test_it_is_made_once_and_anew_when_its_python_is_another(checkout: Path, tmp_path: Path) -> None:
    (checkout / "tools" / "python3").symlink_to(BASE)
    (tmp_path / "scripts.py").write_text("raise SystemExit(9)")
    hindrances = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    first = bootstrap(checkout, PYTHON=str(BASE), **hindrances)
    assert first.returncode == 0, first
    python, mark = checkout / ".venv" / "bin" / "python", checkout / ".venv" / "mark"
    mark.touch()
    # The environment's own Python is the one behind it.
    for named in ({}, {"PYTHON": str(BASE)}, {"PYTHON": str(python)}):
        again = bootstrap(checkout, **named)
        assert (again.returncode, again.stdout, mark.exists()) == (0, "", True)

    stamp = checkout / ".venv" / ".creditstream-installed"
    content = stamp.read_text()
    stamp.write_text(content.replace(" in ", "-before in "))
    assert "install 3/3 creditstream done" in bootstrap(checkout).stdout, "the system has another Python since"
    assert stamp.read_text() == content

    told = "3.8 in /elsewhere"
    python.unlink()
    python.write_text(f"#!/bin/sh\necho {told}\n")
    python.chmod(0o755)
    stamp.write_text(f"{content.split()[0]} {told}")
    assert (bootstrap(checkout).stdout, mark.exists()) == ("", True), "without a name any that is there will do"
    anew = bootstrap(checkout, PYTHON=str(BASE))
    assert anew.returncode == 0 and f".venv is of Python {told}, not 3." in anew.stdout, anew
    assert not mark.exists()
    assert stamp.read_text() == content
