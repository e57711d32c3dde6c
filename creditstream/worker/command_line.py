"""Which of Faust's commands and flags this program has; the others are refused in one line (ADR 0020)."""

import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, cast

import click
from click.core import ParameterSource

#: Faust's commands that are offered, each with those of its own flags that change nothing of ours.
OFFERED: dict[str, tuple[str, ...]] = {"worker": (), "agents": ("local",), "tables": ()}
#: The same of the flags before the command. `app` names this program, `json` is how the two lists are printed.
ALLOWED = ("app", "version", "json")
_LISTS = ("agents", "tables")
#: What a person does in place of a flag. One that is not here, a later Faust's say, is refused all the same.
INSTEAD = {
    "blocking_timeout": "Faust's debug mode is not offered",
    "console_port": "Faust's debug mode is not offered",
    "datadir": "set CREDITSTREAM_DATA_DIR",
    "debug": "set CREDITSTREAM_LOG_LEVEL=DEBUG",
    "logfile": "the log goes to standard error, send that to a file",
    "loglevel": "set CREDITSTREAM_LOG_LEVEL",
    "loop": "the event loop is always uvloop",
    "quiet": "set CREDITSTREAM_LOG_LEVEL=ERROR",
    "web_bind": "set CREDITSTREAM_WEB_BIND",
    "web_host": "workers do not ask each other any more",
    "web_port": "set CREDITSTREAM_WEB_PORT",
    "web_transport": "set CREDITSTREAM_WEB_BIND and CREDITSTREAM_WEB_PORT",
    "with_web": "every worker has its page and its health checks",
    "workdir": "change the directory before the start, with cd",
}
#: Defaults that Faust took from variables when it was imported.
_FROM_VARIABLES: dict[str, Any] = {"debug": False, "workdir": None, "datadir": None}


def take_over(group: click.Group, before_command: Callable[[], None]) -> None:
    """Called once, as the app is made, while Faust has read the flags before the command at most.

    `before_command` is called when all of the command line is right and a command is about to run. What is refused ends
    the process with one line and exit code 2.
    """
    _refuse_if_too_late(group)
    others = set(group.commands) - set(OFFERED)
    closed = list(_closed(group, ALLOWED))
    for name, allowed in OFFERED.items():
        closed += _closed(group.commands[name], allowed)
    _refuse_misplaced(closed)
    for name in others:
        group.commands[name].hidden = True
    _close_for(group, closed)
    group.callback = _checked(group, closed, others, before_command)
    group.invoke_without_command = True


def _checked(
    group: click.Group, closed: list[click.Option], others: set[str], before_command: Callable[[], None]
) -> Callable[..., Any]:
    """What is called when all that stands before the command is read, in place of what Faust does then."""
    inner = cast(Callable[..., Any], group.callback)
    prepared: set[str] = set()

    @functools.wraps(inner)
    def callback(**given: object) -> Any:
        context = click.get_current_context()
        for option in closed:
            _refuse_flag(str(option.name), context, option, None)
        _check_command(context, others)
        name = str(context.invoked_subcommand)
        if name not in prepared:
            prepared.add(name)
            _close_for(group.commands[name], closed)
            _precede(group.commands[name], before_command)
        return inner(**{**given, **_FROM_VARIABLES})

    return callback


def _precede(command: click.Command, first: Callable[[], None]) -> None:
    inner = cast(Callable[..., Any], command.callback)

    @functools.wraps(inner)
    def both(*arguments: object, **given: object) -> Any:
        first()
        return inner(*arguments, **given)

    command.callback = both


def _check_command(context: click.Context, others: set[str]) -> None:
    command = context.invoked_subcommand or ""
    if not command:
        click.echo(context.get_help(), err=True)
        context.exit(2)
    if command in others:
        _refuse(f"`{command}` is Faust's own and not offered: --help lists the commands")
    if context.params.get("json") and command not in _LISTS:
        _refuse(f"--json before the command is for {' and '.join(_LISTS)}: {command} --help says what {command} can")


def _closed(command: click.Command, allowed: Iterable[str]) -> Iterator[click.Option]:
    """Hides and closes what is not allowed of a command's own flags."""
    for param in command.params:
        if isinstance(param, click.Option) and str(param.name) not in allowed:
            _close(param)
            yield param


def _close(option: click.Option) -> None:
    option.hidden = True
    option.is_eager = True  # before anything else about the command is found wrong
    option.callback = functools.partial(_refuse_flag, str(option.name))
    if not option.is_flag:
        option.type = click.STRING


def _close_for(command: click.Command, closed: list[click.Option]) -> None:
    """A command also refuses, as such, those that Faust has in another place."""
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for option in closed:
        if not own & {*option.opts, *option.secondary_opts}:
            stray = copy.copy(option)
            stray.name, stray.expose_value = f"faust_{option.name}", False
            command.params.append(stray)
            own |= {*option.opts, *option.secondary_opts}


def _refuse_flag(name: str, context: click.Context, param: click.Parameter, value: object) -> object:
    """A click callback. What was not given passes as it is."""
    if context.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        _refuse_option(name, param)
    return value


def _refuse_option(name: str, param: click.Parameter) -> NoReturn:
    flag = "/".join(option for option in (*param.opts, *param.secondary_opts) if option.startswith("--"))
    _refuse(
        f"{flag} is not taken from the command line: {INSTEAD.get(name, 'all settings are CREDITSTREAM_… variables')}"
    )


def _refuse_misplaced(closed: list[click.Option]) -> None:
    """Faust loads this program to say how it is used when a flag before the command is wrong: then we say it."""
    error = sys.exception()
    if not isinstance(error, click.UsageError):
        return
    wrong = {getattr(error, "option_name", None), getattr(getattr(error, "param", None), "name", None)}
    for option in closed:
        if wrong & {option.name, *option.opts, *option.secondary_opts}:
            _refuse_variable(str(option.name), error)
            _refuse_option(str(option.name), option)


def _refuse_variable(name: str, error: click.UsageError) -> None:
    """Faust takes a flag's value from a variable before it knows of this program: if that is wrong, nothing starts."""
    given = error.ctx and isinstance(error, click.BadParameter) and error.ctx.get_parameter_source(name)
    if given and given is not ParameterSource.COMMANDLINE:
        variable = f"F_{name.upper()}"
        why = error.message.rstrip(".")
        _refuse(f"{variable} in the environment, or FAUST_{name.upper()}: {why}. Faust reads it: unset it")


def _refuse_if_too_late(group: click.Group) -> None:
    """`-Acreditstream` in one word: Faust finds the program only when the command runs, whatever its flags were."""
    context = click.get_current_context(silent=True)
    if context and context.parent and context.find_root().command is group:
        _refuse("write -A creditstream as two words, before the command: Faust reads it too late otherwise")


def _refuse(why: str) -> NoReturn:
    print(f"creditstream: {why}", file=sys.stderr)
    raise SystemExit(2)
