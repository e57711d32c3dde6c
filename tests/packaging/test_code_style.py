"""How the program is written, read from the syntax tree: sizes, types of parameters, who may set whose attributes."""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.source import PRODUCT, Module, modules

HOUSE = modules(*PRODUCT)
MOST_LINES, MOST_IN_FUNCTION, MOST_LONG_FUNCTIONS = 200, 25, 5
Function = ast.FunctionDef | ast.AsyncFunctionDef

#: What is too long on purpose, with the reason.
LONG_FUNCTIONS = {
    "creditstream/worker/app.py create_app": "the one list of what Faust is told, each with its value",
    "creditstream/order/pipeline.py __init__": "the one place where the parts of an order's way are put together",
    "creditstream/kafka/delivery.py _deliver_source": "for each record: a helper would be one more call of each",
}
_FAUSTS = "Faust's objects, whose types know neither what its driver adds nor `noack`"
_PASSED_ON = "what the library's own method takes, passed on as it is"
#: Functions that take `Any`, with the reason: a library gives it.
ANY = {
    "agents/orders.py orders": _FAUSTS,
    "agents/orders_by_id.py orders_by_id": _FAUSTS,
    "agents/retries.py retries": _FAUSTS,
    "creditstream/worker/intake.py feed": _FAUSTS,
    "creditstream/worker/intake.py _record": _FAUSTS,
    "creditstream/worker/intake.py record_of": _FAUSTS,
    "creditstream/worker/intake.py _bare": _FAUSTS,
    "creditstream/worker/app.py __init__": _PASSED_ON,
    "creditstream/web/access/connections.py __init__": _PASSED_ON,
    "creditstream/web/access/connections.py _handle_request": _PASSED_ON,
    "creditstream/web/access/connections.py log_exception": _PASSED_ON,
    "creditstream/web/access/server.py __init__": _PASSED_ON,
}

_ORDER = "an order's state while it is under way; the parts of its way write it in turn"
_OWN = "this module's own, seen by nobody else while it changes"
_LIBRARY = "a library's, which has no other way"
#: Whose attributes are assigned: a path's beginning and the object, with the reason.
OUTSIDE = {
    ("creditstream/config/environment.py", "sys"): _LIBRARY,
    ("creditstream/kafka/consumer.py", "message"): "Faust asks for `acked`",
    ("creditstream/kafka/consumer.py", "progress"): "where a partition stands, kept by the consumer alone",
    ("creditstream/kafka/consumer_thread.py", "consumer"): _LIBRARY,
    ("creditstream/kafka/consumer_thread.py", "consumer._fetcher"): _LIBRARY,
    ("creditstream/kafka/consumer_thread.py", "coordinator"): _LIBRARY,
    ("creditstream/kafka/consumer_thread.py", "everything"): _LIBRARY,
    ("creditstream/kafka/delivery.py", "message"): "what its acknowledgement counts for, beside Faust's own attributes",
    ("creditstream/kafka/fenced_publisher.py", "gate"): _OWN,
    ("creditstream/kafka/lost_connections.py", "AIOKafkaConnection"): _LIBRARY,
    ("creditstream/kafka/publisher.py", "self._producer"): _LIBRARY,
    ("creditstream/kafka/publisher.py", "sender"): _LIBRARY,
    ("creditstream/kafka/reading.py", "module"): _LIBRARY,
    ("creditstream/kafka/reading.py", "self._assignment.state_value(self._topic_partition)"): _LIBRARY,
    ("creditstream/kafka/offsets.py", "again"): _OWN,
    ("creditstream/operations/dlq/actions.py", "done"): _OWN,
    ("creditstream/order/", "flight"): _ORDER,
    ("creditstream/risk/client.py", "course"): _OWN,
    ("creditstream/simulation/risk_simulator.py", "known"): _OWN,
    ("creditstream/store/pool.py", "connection"): _LIBRARY,
    ("creditstream/web/routes.py", "response"): _LIBRARY,
    ("creditstream/worker/command_line.py", "command"): _LIBRARY,
    ("creditstream/worker/command_line.py", "group"): _LIBRARY,
    ("creditstream/worker/command_line.py", "group.commands[name]"): _LIBRARY,
    ("creditstream/worker/command_line.py", "option"): _LIBRARY,
    ("creditstream/worker/command_line.py", "stray"): _LIBRARY,
    ("creditstream/worker/ending.py", "timer"): _LIBRARY,
    ("creditstream/worker/logs.py", "record"): _LIBRARY,
}


def functions(tree: ast.AST) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def long_files(house: list[Module]) -> set[str]:
    return {module.path for module in house if module.lines > MOST_LINES}


def long_functions(house: list[Module]) -> set[str]:
    return {
        f"{module.path} {function.name}"
        for module in house
        for function in functions(module.tree)
        if (function.end_lineno or 0) - function.lineno >= MOST_IN_FUNCTION
    }


def takes_any(function: Function) -> bool:
    given = function.args
    parameters = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    annotations = [one.annotation for one in parameters if one and one.annotation]
    return any(isinstance(node, ast.Name) and node.id == "Any" for one in annotations for node in ast.walk(one))


def untyped(house: list[Module]) -> set[str]:
    return {
        f"{module.path} {function.name}"
        for module in house
        if not module.path.startswith("creditstream/kafka/")
        for function in functions(module.tree)
        if takes_any(function)
    }


def assigned(tree: ast.AST) -> Iterator[str]:
    """Whose attributes are set: `name.attribute = …`, also in a tuple, with an operator, or by `setattr`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("self" | "cls"), ctx=ast.Store()):
                continue
            case ast.Attribute(owner, ctx=ast.Store()):
                yield ast.unparse(owner)
            case ast.Call(ast.Name("setattr"), [owner, *_]):
                yield ast.unparse(owner)


def set_from_outside(house: list[Module]) -> set[str]:
    return {f"{module.path} sets {name}" for module in house for name in assigned(module.tree)}


def allows(entry: tuple[str, str], found: str) -> bool:
    path, _, name = found.partition(" sets ")
    return path.startswith(entry[0]) and name == entry[1]


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    assert long_files(HOUSE) == set()


def test_few_functions_are_long_and_each_has_its_reason() -> None:
    assert long_functions(HOUSE) == set(LONG_FUNCTIONS)
    assert len(LONG_FUNCTIONS) <= MOST_LONG_FUNCTIONS


def test_parameters_have_types_but_where_a_library_has_none() -> None:
    assert untyped(HOUSE) == set(ANY)


def test_nothing_is_set_on_another_object() -> None:
    found = set_from_outside(HOUSE)
    assert {one for one in found if not any(allows(entry, one) for entry in OUTSIDE)} == set()
    assert {entry for entry in OUTSIDE if not any(allows(entry, one) for one in found)} == set(), "take it off the list"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("self.a = b.c", []),
        ("a.b = 1", ["a"]),
        ("self.a.b += 1", ["self.a"]),
        ("a, b.c = d", ["b"]),
        ("for a.b in c: pass", ["a"]),
        ("a.b: int = 1", ["a"]),
        ("setattr(a, 'b', 1)", ["a"]),
    ],
)
def test_an_assignment_is_found(line: str, found: list[str]) -> None:
    assert list(assigned(ast.parse(line))) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("def f(a: int) -> Any: ...", False),
        ("def f(a: Any) -> int: ...", True),
        ("async def f(*, a: dict[str, Any]) -> int: ...", True),
        ("def f(*a: Any) -> int: ...", True),
    ],
)
def test_a_parameter_without_a_type_is_found(line: str, found: bool) -> None:
    assert Counter(map(takes_any, functions(ast.parse(line)))) == {found: 1}
