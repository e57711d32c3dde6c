"""`python -m devtools up|down|clean|status`, and every other command as the module `devtools.NAME`."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from devtools.stack import Ports, Stack, StackError
from devtools.stack.jars import jars_folder
from devtools.stack.product import prepare_product

LOCAL = Path(".local")
_STACK_COMMANDS = ("up", "down", "clean", "status")
_DASHBOARD = "http://localhost:6066/"


class Lines:
    """One line per service: rewritten in place on a terminal while it changes, printed once elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()

    def show(self, name: str, text: str, last: bool) -> None:
        line = f"{name:<10} {text}"
        if self._live:
            print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
        elif last:
            print(line, flush=True)


def up(stack: Stack, lines: Lines) -> int:
    if not jars_folder(stack.cache).is_dir():
        print("kafka      its jars are downloaded first, once: 54 MB, about half a minute", flush=True)
    stack.up(lines.show)
    lines.show("product", "creating topics, migrating the database", False)
    lines.show("product", prepare_product(stack.environment()), True)
    print(f"\nSettings   set -a; . {LOCAL}/env; set +a")
    print("Worker     .venv/bin/faust -A creditstream worker")
    print(f"Dashboard  {_DASHBOARD} (once a worker runs)")
    return 0


def stack_command(name: str) -> int:
    lines = Lines()
    stack = Stack(LOCAL, Ports.chosen(LOCAL / "stack" / "ports.json"))
    if name == "up":
        return up(stack, lines)
    if name == "status":
        return 0 if stack.status(lines.show) else 1
    (stack.down if name == "down" else stack.clean)(lines.show)
    return 0


def main(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    try:
        if name in _STACK_COMMANDS and len(arguments) == 1:
            return stack_command(name)
        if name.isidentifier() and find_spec(f"devtools.{name}") is not None:
            sys.argv = [f"devtools {name}", *arguments[1:]]
            runpy.run_module(f"devtools.{name}", run_name="__main__")
            return 0
    except StackError as error:
        print(f"\ncreditstream: {error}" if sys.stdout.isatty() else f"creditstream: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncreditstream: interrupted; `make down` stops what was started", file=sys.stderr)
        return 130
    print(f"usage: python -m devtools {'|'.join(_STACK_COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
