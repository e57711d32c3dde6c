"""PURE: what may be changed at one node of a syntax tree. Each kind of change has a function."""

import ast
import re
from collections.abc import Iterator, Set

from tests.mutants.source import Change, Source

#: Of functions and classes of the product: their name, and a parameter that has a default.
Defaults = Set[tuple[str, str]]

_COMPARED: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
}
_CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changes(node: ast.AST, source: Source, defaults: Defaults) -> Iterator[Change]:
    """All of this node alone, not of those below it."""
    match node:
        case ast.Compare():
            yield from _compared(node, source)
        case ast.BoolOp():
            yield from _joined(node, source)
        case ast.UnaryOp(op=ast.Not()):
            yield Change(source.start(node), source.start(node) + len("not"), "")
        case ast.BinOp() | ast.AugAssign():
            yield from _calculated(node, source)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.match_case(guard=ast.expr() as test):
            yield from _forced(test, source)
        case ast.comprehension(ifs=tests):
            yield from (change for test in tests for change in _forced(test, source))
        case ast.Constant(value=bool() | int() | float() as value):
            yield from (Change(source.start(node), source.end(node), new) for new in _others(value))
        case ast.Call():
            yield from _called(node, source, defaults)
    if isinstance(node, ast.stmt):
        yield from (Change(source.start(node), source.end(node), new) for new in _instead(node))


def _compared(node: ast.Compare, source: Source) -> Iterator[Change]:
    operands = [node.left, *node.comparators]
    for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
        written, others = _COMPARED[type(operator)]
        place = _token(source, left, right, written)
        yield from (Change(*place, other) for other in others)


def _joined(node: ast.BoolOp, source: Source) -> Iterator[Change]:
    """`and` and `or` take each other's place; one operand is left out."""
    written, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield Change(*_token(source, left, right, written), other)
    for operand in filter(_binds_nothing, node.values):
        yield Change(source.start(operand), source.end(operand), str(written == "and"))


def _binds_nothing(node: ast.expr) -> bool:
    return not any(isinstance(each, ast.NamedExpr) for each in ast.walk(node))


def _token(source: Source, left: ast.expr, right: ast.expr, pattern: str) -> tuple[int, int]:
    """Where the operator stands between two operands; there may be parentheses around it."""
    begins = source.end(left)
    between = source.between(begins, source.start(right))
    pattern = rf"\b{pattern}\b" if pattern[0].isalpha() else re.escape(pattern)
    found = re.search(pattern, re.sub(r"#.*", lambda comment: " " * len(comment.group()), between))
    assert found, (between, pattern)
    return begins + len(between[: found.start()].encode()), begins + len(between[: found.end()].encode())


def _calculated(node: ast.BinOp | ast.AugAssign, source: Source) -> Iterator[Change]:
    if type(node.op) not in _CALCULATED:
        return
    left, right = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
    if not any(isinstance(side, ast.JoinedStr | ast.List | ast.Tuple) or _is_text(side) for side in (left, right)):
        written, other = _CALCULATED[type(node.op)]
        yield Change(*_token(source, left, right, written), other)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _forced(test: ast.expr, source: Source) -> Iterator[Change]:
    """What is compared, joined or negated has changes of its own that say the contrary."""
    start, end = source.start(test), source.end(test)
    if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        yield Change(start, end, f"not ({source.of(test)})")
    if _binds_nothing(test):
        yield from (Change(start, end, str(value)) for value in (True, False) if source.of(test) != str(value))


def _others(value: bool | int | float) -> list[str]:
    match value:
        case bool():
            return [str(not value)]
        case int():
            return [str(value + 1), str(value - 1)]
    return [repr(value + 1.0)]


def _called(node: ast.Call, source: Source, defaults: Defaults) -> Iterator[Change]:
    """`min` for `max`, and the like; a keyword that has a default is left out."""
    if isinstance(node.func, ast.Name) and node.func.id in _CALLED:
        yield Change(source.start(node.func), source.end(node.func), _CALLED[node.func.id])
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    given = sorted(parts, key=source.start)
    for number, this in enumerate(given):
        if isinstance(this, ast.keyword) and (name, this.arg) in defaults:
            yield Change(*_with_its_comma(given, number, source), "")


def _with_its_comma(given: list[ast.expr | ast.keyword], number: int, source: Source) -> tuple[int, int]:
    if number == 0:
        return source.start(given[0]), source.start(given[1]) if given[1:] else source.end(given[0])
    before = source.end(given[number - 1])
    return before + source.between(before, source.start(given[number])).rfind(","), source.end(given[number])


def _instead(node: ast.stmt) -> list[str]:
    """What stands in place of a statement."""
    match node:
        case ast.Return(value=None | ast.Constant(value=None)):
            return ["pass"]
        case ast.Return():
            return ["return None"]
        case ast.Break():
            return ["continue"]
        case ast.Continue():
            return ["break"]
        case ast.Raise() | ast.Delete() | ast.Expr(value=ast.Call() | ast.Await()):
            return ["pass"]
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            return ["pass"]
        case ast.AugAssign(target=ast.Attribute() | ast.Subscript()):
            return ["pass"]
    return []
