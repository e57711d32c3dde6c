"""The command line: each flag and each command that the installed Faust has is refused, or allowed on purpose."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from faust.cli.faust import cli

from creditstream.worker.command_line import ALLOWED, INSTEAD, OFFERED
from devtools.programs import clean_environ

Played = dict[str, tuple[int, str, str]]

_OURS = {"migrate", "audit", "dlq", "grow", "retention", "restore", "forget", "load"}
#: Plays each line on Faust's own command line, as `python -m creditstream` does, and says what came of it.
_PLAY = """
import json, sys
from click.testing import CliRunner
from faust.cli.faust import cli
from creditstream import app
app.finalize()
app.discover()
for line in json.load(sys.stdin):
    done = CliRunner().invoke(cli, line, app=app)
    assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
    print(json.dumps([line, done.exit_code, done.stdout, done.stderr]))
"""


def flags_of(command: click.Command) -> list[click.Option]:
    """As Faust has them: those that creditstream.worker.command_line adds have names of their own."""
    options = [param for param in command.params if isinstance(param, click.Option)]
    return [option for option in options if not str(option.name).startswith("faust_")]


FAUSTS = {str(option.name): option for one in (cli, *map(cli.commands.get, OFFERED)) if one for option in flags_of(one)}
_ALLOWED = {*ALLOWED, *(name for names in OFFERED.values() for name in names)}
REFUSED = sorted(set(FAUSTS) - _ALLOWED)
OTHERS = sorted(set(cli.commands) - set(OFFERED) - _OURS)


def spellings(option: click.Option) -> Iterator[list[str]]:
    for name in (*option.opts, *option.secondary_opts):
        if option.is_flag:
            yield [name]
        else:
            yield [name, "1"]
            yield [f"{name}=1" if name.startswith("--") else f"{name}1"]


def lines_of(name: str) -> Iterator[list[str]]:
    """Each spelling, before a command, behind one of Faust's and behind some of ours; one misses what it needs."""
    for words in spellings(FAUSTS[name]):
        yield [*words, "worker"]
        for command in ("worker", "agents", "migrate", "forget"):
            yield [command, *words]
        yield ["dlq", "list", *words]


@pytest.fixture(scope="module")
def played() -> Played:
    lines = [line for name in REFUSED for line in lines_of(name)]
    lines += [[other, *more] for other in OTHERS for more in ([], ["--help"], ["-f", "x"])]
    lines += [["--help"], ["worker", "--help"], ["--json", "audit"], []]
    done = subprocess.run(
        [sys.executable, "-c", _PLAY],
        input=json.dumps(lines),
        env=clean_environ({"CREDITSTREAM_KAFKA_BROKERS": "127.0.0.1:1", "CREDITSTREAM_START_TIMEOUT": "0"}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {" ".join(line): (code, out, err) for line, code, out, err in answers}


def refused(played: Played, line: list[str]) -> str:
    code, out, err = played[" ".join(line)]
    assert (code, out, err.count("\n")) == (2, "", 1), (line, code, out, err)
    assert err.startswith("creditstream: "), line
    return err


def test_each_flag_was_looked_at() -> None:
    assert set(REFUSED) == set(INSTEAD), "a flag is new, or gone: say what a person does in its place"
    assert {"web_bind", "datadir", "loglevel", "with_web", "workdir"} <= set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_a_flag_is_refused_wherever_it_stands(name: str, played: Played) -> None:
    for line in lines_of(name):
        said = refused(played, line)
        assert FAUSTS[name].opts[0] in said and INSTEAD[name] in said


def test_there_are_commands_to_refuse() -> None:
    assert {"reset", "send", "clean-versions", "completion", "model", "models", "livecheck"} <= set(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
def test_fausts_other_commands_are_refused(name: str, played: Played) -> None:
    for more in ([], ["--help"], ["-f", "x"]):
        assert f"`{name}`" in refused(played, [name, *more])


def test_help_lists_what_is_offered_and_nothing_else(played: Played) -> None:
    code, out, _ = played["--help"]
    assert code == 0
    listed = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == {*OFFERED, *_OURS}
    for name in REFUSED:
        assert FAUSTS[name].opts[0] not in out + played["worker --help"][1]


def test_no_command_is_help_too(played: Played) -> None:
    code, out, err = played[""]
    assert (code, out) == (2, "")
    assert "migrate" in err


def test_json_before_one_of_ours_says_where_it_belongs(played: Played) -> None:
    assert "--json" in refused(played, ["--json", "audit"])


def test_what_stops_faust_itself_does_not_stop_the_module() -> None:
    environ = clean_environ({"FAUST_LOOP": "eventlet", "F_CONSOLE_PORT": "no port", "CREDITSTREAM_LOG_FORMAT": "json"})
    done = subprocess.run(
        [sys.executable, "-m", "creditstream", "--json", "tables"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {table["name"] for table in json.loads(done.stdout)} == {"seen"}
    warning = json.loads(done.stderr)
    assert warning["level"] == "WARNING"
    assert warning["message"].startswith("FAUST_LOOP, F_CONSOLE_PORT: without effect")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_is_one_that_leads_nowhere(closed: str) -> None:
    """As under supervisors that close them. The next descriptor would be one of them, and libuv aborts then."""
    environ = clean_environ(
        {"CREDITSTREAM_POSTGRES_DSN": "postgresql://u@127.0.0.1:1/x", "CREDITSTREAM_START_TIMEOUT": "0"}
    )
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "creditstream", "migrate"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("" if "2>" in closed else "creditstream: PostgreSQL"), done.stderr


@pytest.mark.parametrize("name", ["creditstream", "creditstream:app", "creditstream.app", "agents.orders"])
def test_a_wrong_setting_is_one_line_however_the_program_is_named(name: str) -> None:
    command = [str(Path(sys.executable).with_name("faust")), "-A", name, "agents"]
    environ = clean_environ({"CREDITSTREAM_WEB_PORT": "x"})
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    line = "creditstream: bad setting CREDITSTREAM_WEB_PORT: expected `int`, got `str`\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_variable_of_fausts_that_ends_every_command_is_named(tmp_path: Path) -> None:
    """A folder that this user may not write, such as /, is another such thing."""
    file = tmp_path / "no-folder"
    file.touch()
    command = [sys.executable, "-m", "faust", "-A", "creditstream", "agents"]
    environ = clean_environ({"F_WORKDIR": str(file)})
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("creditstream: F_WORKDIR in the environment") and line.endswith("unset it")
