"""Each bug in upstream/ shows with what is installed of Faust and aiokafka, and is gone with its patch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import aiokafka
import faust
import pytest

from tests.support.servers import ROOT, Servers

UPSTREAM = ROOT / "upstream"
#: The script gives up after 100 s of its own; the rest is for the imports on a loaded machine.
_WITHIN = 150
BUGS = {
    "commit-past-open-record": "record 20 is open, committed: 40",
    "jump-counted-as-acked": "…[199]",
    "lost-connection": "the handler is closed",
}
PACKAGES: dict[str, ModuleType] = {"lost-connection": aiokafka}


def test_every_bug_is_here() -> None:
    assert {path.parent.name for path in UPSTREAM.glob("*/reproduce.py")} == set(BUGS)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_shows_and_its_patch_mends_it(bug: str, stack: Servers, tmp_path: Path) -> None:
    patched = _patched(tmp_path / "patched", [bug])
    with _reproduction(bug, stack, tmp_path) as red, _reproduction(bug, stack, patched) as green:
        seen, mended = red.communicate(timeout=_WITHIN)[0], green.communicate(timeout=_WITHIN)[0]
    assert red.returncode == 1 and BUGS[bug] in seen, seen
    assert green.returncode == 0, mended


def test_the_patches_go_together(stack: Servers, tmp_path: Path) -> None:
    patched = _patched(tmp_path, list(BUGS))
    for bug in BUGS:
        with _reproduction(bug, stack, patched) as green:
            output = green.communicate(timeout=_WITHIN)[0]
        assert green.returncode == 0, f"{bug}\n{output}"


def _patched(folder: Path, bugs: list[str]) -> Path:
    """Copies of the installed packages with the patches in them; git applies them, as `patch` may be missing."""
    for package in {PACKAGES.get(bug, faust) for bug in bugs}:
        shutil.copytree(Path(str(package.__file__)).parent, folder / package.__name__)
    for bug in bugs:
        command = ["git", "apply", "-p1", "--whitespace=nowarn", str(UPSTREAM / bug / "fix.patch")]
        environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def _reproduction(bug: str, stack: Servers, path: Path) -> "subprocess.Popen[str]":
    """The script, with `path` before the installed packages; stopped by its own time-out at the latest."""
    script = UPSTREAM / bug / "reproduce.py"
    return subprocess.Popen(
        [sys.executable, str(script), "--broker", stack.brokers],
        env={**os.environ, "PYTHONPATH": str(path)},
        cwd=path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
