"""Which lines of the order's way, the consumer and the fences run in worlds: `python -m tests.simulation --lines`."""

import ast
import inspect
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType

from tests.mutants.hits import Tracer
from tests.mutants.sample import ROOMS
from tests.simulation.plan import Plan
from tests.simulation.play import play

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("order", "consumer", "fences")
#: Of the lines of each room.
_ENOUGH = 0.9


def tell_lines(plans: Iterable[Plan], jobs: int) -> int:
    """A table of files, and the lines that no seed ran. Returns 1 if they are too many in one of the rooms."""
    ran: dict[str, set[int]] = defaultdict(set)
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for number, lines in enumerate(pool.imap_unordered(_traced, plans), 1):
            print(f"{number} seeds", end="\r", flush=True)
            for path, found in lines.items():
                ran[path].update(found)
    return 1 if min([_told(name, ran) for name in _ROOMS]) < _ENOUGH else 0


def _traced(plan: Plan) -> dict[str, list[int]]:
    tracer = Tracer(f"{_ROOT}{os.sep}")
    tracer.start()
    play(plan)
    tracer.stop()
    return tracer.plain()


def _told(name: str, ran: Mapping[str, set[int]]) -> float:
    """The share of a room."""
    [room] = [each for each in ROOMS if each.name == name]
    all_lines = all_ran = 0
    for path in sorted(path for pattern in room.files for path in _ROOT.glob(pattern)):
        lines = set(lines_of(path))
        missed = lines - ran.get(path.relative_to(_ROOT).as_posix(), set())
        all_lines, all_ran = all_lines + len(lines), all_ran + len(lines) - len(missed)
        print(f"  {path.relative_to(_ROOT)!s:44} {len(lines):4} lines  not run: {_ranges(sorted(missed)) or 'none'}")
    share = all_ran / all_lines
    print(f"{name}: {all_ran} of {all_lines} lines, {share:.1%}")
    return share


def lines_of(path: Path) -> Iterator[int]:
    """Those of functions: what runs at import is not of a world."""
    text = path.read_text(encoding="utf-8")
    codes, left_out = [compile(text, str(path), "exec")], _never_run(ast.parse(text))
    while codes:
        code = codes.pop()
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        if code.co_flags & inspect.CO_OPTIMIZED:
            lines = {line for _, _, line in code.co_lines() if line and line > code.co_firstlineno}
            yield from lines - left_out


def _never_run(module: ast.Module) -> set[int]:
    """The bodies of protocols."""
    return {
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
    }


def _ranges(numbers: list[int]) -> str:
    """3, 7-9"""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{each[0]}-{each[-1]}" if len(each) > 1 else str(each[0]) for each in found)
