"""A fork is started, spoken to and ended as any process is: each test runs both ways."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from devtools.forks.client import Fork, Forker, Started, forking, start
from devtools.programs import clean_environ, faust_command
from devtools.wait import wait_for

_WITHIN = 60.0
#: Says what it was given, and waits for a signal if it is told to.
_PROGRAM = """
import os, signal, sys
print([sys.argv[1:], __name__, os.getcwd(), os.environ.get("CREDITSTREAM_GROUP"), os.getsid(0) == os.getpid()])
print(sys.stdin.read(), file=sys.stderr, flush=True)
if "wait" in sys.argv:
    print("waiting", flush=True)
    signal.pause()
raise SystemExit(int(os.environ.get("CREDITSTREAM_EXIT", "0")))
"""
Run = Callable[..., SimpleNamespace]


@pytest.fixture(params=["process", "fork"])
def run(request: pytest.FixtureRequest, tmp_path: Path, forks: None) -> Iterator[Run]:
    """Starts the program in a folder of its own, where it is a module."""
    (tmp_path / "said.py").write_text(_PROGRAM)
    started: list[Started] = []

    def one(*arguments: str, **settings: str) -> SimpleNamespace:
        environ = clean_environ({f"CREDITSTREAM_{name}": value for name, value in settings.items()})
        extra = {"NOT_A_SETTING": "1"} if request.param == "process" else {}
        files = [tmp_path / name for name in ("in", "out", "err")]
        files[0].write_text("a line")
        with files[0].open("rb") as stdin, files[1].open("wb") as stdout, files[2].open("wb") as stderr:
            command = [sys.executable, "-m", *(arguments or ("said",))]
            process = start(command, environ | extra, tmp_path, stdin=stdin, stdout=stdout, stderr=stderr)
        started.append(process)
        assert isinstance(process, Fork) == (request.param == "fork")
        return SimpleNamespace(process=process, out=files[1].read_text, err=files[2].read_text)

    yield one
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait(_WITHIN)


def test_it_has_its_arguments_folder_settings_and_streams(run: Run, tmp_path: Path) -> None:
    done = run("said", "a", "b", GROUP="g", EXIT="3")
    assert done.process.wait(_WITHIN) == 3 == done.process.poll()
    assert done.out() == f"{[['a', 'b'], '__main__', str(tmp_path), 'g', True]}\n"
    assert done.err() == "a line\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(run: Run, number: signal.Signals) -> None:
    done = run("said", "wait")
    wait_for(lambda: "waiting" in done.out(), _WITHIN, "it waits")
    assert done.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        done.process.wait(0)
    assert os.getpgid(done.process.pid) == done.process.pid
    done.process.send_signal(number)
    assert done.process.wait(_WITHIN) == -number
    done.process.send_signal(number)  # whoever has its number now is left alone


def test_an_error_is_said_and_ends_it(run: Run) -> None:
    done = run("no_such_module")
    assert done.process.wait(_WITHIN) == 1
    assert "No module named" in done.err()


def test_a_command_of_the_product_says_the_same(run: Run, tmp_path: Path) -> None:
    done = run(*faust_command("audit", "--nonsense")[2:])
    assert done.process.wait(_WITHIN) == 2
    assert "No such option: --nonsense" in done.err() and "Traceback" not in done.err()


def test_what_an_interpreter_reads_as_it_starts_makes_a_process() -> None:
    forker, environ = Forker(clean_environ()), clean_environ()
    command = [sys.executable, "-m", "faust"]
    assert forker.can(command, environ | {"CREDITSTREAM_GROUP": "g", "PYTEST_CURRENT_TEST": "t"})
    for name in ("PYTHONHASHSEED", "FAUST_LOOP", "TZ", "DD_ENV", "HOME"):
        assert not forker.can(command, environ | {name: "1"}), name
    assert not forker.can(["sh", "-m", "faust"], environ)
    assert not forker.can([sys.executable, "-c", "pass"], environ)
    assert not forker.can(command, {name: value for name, value in environ.items() if name != "PATH"})


@pytest.fixture
def said(tmp_path: Path, forks: None) -> Callable[..., Started]:
    """Starts the program, and gives it once it waits."""
    (tmp_path / "said.py").write_text(_PROGRAM)

    def one() -> Started:
        out = tmp_path / "out"
        with out.open("wb") as stdout:
            process = start([sys.executable, "-m", "said", "wait"], clean_environ(), tmp_path, stdout=stdout)
        wait_for(lambda: "waiting" in out.read_text(), _WITHIN, "it waits")
        return process

    return one


def test_of_every_so_many_programs_the_last_is_its() -> None:
    assert [Forker({}, 3).is_its_turn()] == [False]
    forker, always = Forker({}, 2), Forker({})
    assert [forker.is_its_turn() for _ in range(4)] == [False, True, False, True]
    assert always.is_its_turn() and always.is_its_turn()


def test_programs_outlive_their_forker_and_can_be_ended(said: Callable[..., Started], tmp_path: Path) -> None:
    with forking(clean_environ()):
        process = said()
    assert process.poll() is None
    with pytest.raises(RuntimeError, match="said wait: nobody knows how it ended"):
        process.wait(_WITHIN)
    os.kill(process.pid, 0)
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{process.pid}").exists() or is_a_zombie(process.pid), _WITHIN, "it has ended")


def is_a_zombie(pid: int) -> bool:
    """Nobody waits for it: its parent has ended, and who has it now may not care."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_after_a_forker_that_ended_there_is_another(said: Callable[..., Started]) -> None:
    with forking(clean_environ()):
        first = said()
        forker = int(Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(forker, signal.SIGKILL)
        with pytest.raises(RuntimeError):
            first.wait(_WITHIN)
        second, third = said(), said()
        assert not isinstance(second, Fork) and isinstance(third, Fork)
        for process in (first, second, third):
            process.send_signal(signal.SIGKILL)


def test_who_asks_does_not_wait_for_who_waits(said: Callable[..., Started]) -> None:
    process = said()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(process.wait, _WITHIN)
        assert process.poll() is None and not waits.done()
        process.send_signal(signal.SIGKILL)
        assert waits.result(_WITHIN) == -signal.SIGKILL == process.poll()


def test_a_program_that_has_ended_leaves_no_descriptor(said: Callable[..., Started]) -> None:
    def used() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    process = said()
    process.send_signal(signal.SIGKILL)
    process.wait(_WITHIN)
    before = used()
    del process
    gc.collect()
    assert used() == before - 1
