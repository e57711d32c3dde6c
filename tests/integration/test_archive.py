"""The archive of Kafka's classes: Java takes it, it is made again where it would not, and is done without elsewhere."""

import os
import subprocess
from pathlib import Path

import pytest

from devtools.stack import archive, training
from devtools.stack.archive import BRIEF, archive_file, brief_flags, there
from devtools.stack.errors import StackError
from devtools.stack.jars import jars_folder
from devtools.stack.service import silent
from devtools.stack.training import ensure_archive
from tests.support.servers import CACHE, Servers, console_tools


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """With jars that nobody can run."""
    jars = jars_folder(tmp_path)
    jars.mkdir(parents=True)
    (jars / "kafka.jar").touch()
    return tmp_path


def test_java_takes_it(stack: Servers) -> None:
    """By a path that is spelt otherwise than when it was made; with `on`, Java ends where it cannot take it."""
    ensure_archive(CACHE, silent)
    assert there(archive_file(CACHE))
    program = console_tools() / "kafka-topics"
    assert "AOTCache" in program.read_text()
    command = [str(program), "--bootstrap-server", stack.brokers, "--list"]
    required = {**os.environ, "JDK_JAVA_OPTIONS": "-XX:AOTMode=on"}
    done = subprocess.run(command, env=required, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_jars_or_another_java_want_another(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {archive_file(cache)}
    [jar] = jars_folder(cache).glob("*.jar")
    os.utime(jar, (1, 1))
    names.add(archive_file(cache))
    monkeypatch.setattr(archive, "_java_version", lambda: "another")
    names.add(archive_file(cache))
    assert len(names) == 3


def test_without_one_all_goes_on_and_it_is_tried_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    class NoBroker:
        def __init__(self, *_: object) -> None:
            tries.append(self)

        def stop(self, *_: object) -> None:
            raise StackError("no Java for this machine")

    monkeypatch.setattr(training, "_Recorded", NoBroker)
    for _ in range(2):
        ensure_archive(cache, silent)
    assert len(tries) == 1
    assert brief_flags(cache) == BRIEF
    assert [path.name for path in archive_file(cache).parent.iterdir() if path.is_dir()] == [jars_folder(cache).name]
