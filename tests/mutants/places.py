"""PURE: every mutant of a source file. Docstrings, annotations, decorators, log lines and texts for people stay."""

import ast
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.mutants.operators import Defaults, changes
from tests.mutants.source import Change, Source

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FOR_PEOPLE = {"__repr__", "__str__"}
_LOGS = re.compile(r"_?log(ger)?\.(debug|info|warning|error|exception|critical)")


class Outer(NamedTuple):
    """The function at module or class level that a mutant is in, and the line at which its code begins."""

    name: str
    line: int


class Mutant(NamedTuple):
    """`where`: the innermost function or class. `lines`: those of its statement, first and last.

    `outer`: None for what runs when the module is imported.
    """

    file: str
    line: int
    where: str
    before: str
    after: str
    change: Change
    lines: tuple[int, int]
    outer: Outer | None

    @property
    def id(self) -> str:
        """Changes with the text and the place of what is changed, and not with what stands behind it."""
        told = f"{self.file} {self.line} {self.before} {self.after} {self.change.new}"
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def name(self) -> tuple[str, str, str]:
        """By which it is known when lines have moved."""
        return f"{self.file} {self.where}".strip(), self.before, self.after


class _Scope(NamedTuple):
    where: str = ""
    outer: Outer | None = None
    statement: ast.stmt | None = None

    def inside(self, node: _Function | ast.ClassDef) -> "_Scope":
        where = f"{self.where}.{node.name}".strip(".")
        line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        starts = isinstance(node, _Function) and self.outer is None
        return _Scope(where, Outer(where, line) if starts else self.outer, node)


def mutants(file: str, source: Source, defaults: Defaults) -> list[Mutant]:
    return [
        _mutant(file, source, scope, change)
        for node, scope in _nodes(source.tree, _Scope())
        for change in changes(node, source, defaults)
    ]


def compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def defaults_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Functions, and classes by their `__init__` or their fields, with each parameter that has a default."""
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield from ((node.name, name) for name in _with_default(node.args))
        if isinstance(node, ast.ClassDef):
            yield from _fields(node)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and part.value is not None:
            yield node.name, ast.unparse(part.target)
        if isinstance(part, _Function) and part.name == "__init__":
            yield from ((node.name, name) for name in _with_default(part.args))


def _with_default(given: ast.arguments) -> Iterator[str]:
    positional = [*given.posonlyargs, *given.args]
    yield from (each.arg for each in positional[len(positional) - len(given.defaults) :])
    yield from (each.arg for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value)


def _nodes(node: ast.AST, scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
    if _stays(node):
        return
    if isinstance(node, ast.stmt):
        scope = scope._replace(statement=node)
    yield node, scope
    for field, value in ast.iter_fields(node):
        if field in ("decorator_list", "annotation", "returns", "format_spec"):
            continue
        below = scope.inside(node) if isinstance(node, _Function | ast.ClassDef) and field == "body" else scope
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child, below)


def _stays(node: ast.AST) -> bool:
    """Python 3.11 does not say where the parts of an f-string stand."""
    match node:
        case ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Call(func=called)):
            return bool(_LOGS.fullmatch(ast.unparse(called)))
        case ast.FunctionDef(name=name):
            return name in _FOR_PEOPLE
    return False


def _mutant(file: str, source: Source, scope: _Scope, change: Change) -> Mutant:
    first, last = source.line_of(change.start), source.line_of(max(change.start, change.end - 1))
    before, after = source.before_and_after(change)
    return Mutant(file, first, scope.where, before, after, change, _lines(scope.statement, first, last), scope.outer)


def _lines(statement: ast.stmt | None, first: int, last: int) -> tuple[int, int]:
    """Of a statement that has others in it only its head counts."""
    if statement is None or isinstance(statement, ast.Match):
        return first, last
    simple = not hasattr(statement, "body")
    return min(first, statement.lineno), max(last, statement.end_lineno or last) if simple else last
