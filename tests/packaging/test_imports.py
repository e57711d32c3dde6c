"""Who may import whom, read from the syntax tree: house rules that hold only as long as something checks them."""

import ast
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.source import OURS, PRODUCT, TOOLS, Module, imported, imports, modules

_WORDS = {"errors", "version", "schemas"}
_LOW = _WORDS | {"metrics", "config", "order"}
#: Each room, and the rooms that it may import: those that stand lower. `creditstream` is the app of this process.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "schemas": set(),
    "metrics": _WORDS,
    "config": {"errors", "version"},
    "order": _WORDS | {"metrics"},
    "kafka": _LOW,
    "store": _LOW,
    "risk": _LOW,
    "web": _LOW | {"kafka"},
    "tables": _LOW | {"kafka"},
    "simulation": _LOW | {"kafka"},
    "worker": _LOW | {"kafka", "store", "risk", "web", "tables"},
    "operations": _LOW | {"kafka", "store", "simulation"},
    "creditstream": {"errors", "version", "config", "worker"},
    "agents": {"creditstream", "worker", "kafka"},
    "devtools": _LOW | {"kafka", "store", "simulation", "operations"},
    "bench": _LOW | {"kafka", "store", "risk", "simulation", "operations", "devtools", "tests"},
    "scripts": {"config", "devtools", "metrics"},
    "deploy": {"config"},
}
MOST_ROOMS, MOST_FLOORS = 24, 8
#: What computes and asks nobody.
_NO_DRIVERS = {"msgspec", "cramjam"}
_WAITS = {"asyncio", "socket", "ssl", "subprocess", "threading"}

HOUSE = {module.name: module for module in modules(*PRODUCT, *TOOLS)}
PURE = sorted(name for name, module in HOUSE.items() if module.is_pure)


def room_of(name: str) -> str:
    """`creditstream.kafka.topics` stands in kafka, `agents.orders` in agents, `creditstream.__main__` with the app."""
    first, *rest = name.split(".")
    return rest[0] if first == "creditstream" and rest and rest[0] != "__main__" else first


def refused(name: str, found: set[str]) -> set[str]:
    """The imports of module `name` that the table forbids. Raises KeyError for a room that it does not have."""
    room = room_of(name)
    return {one for one in found if room_of(one) not in ROOMS[room] | {room}}


def floors() -> dict[str, int]:
    """Each room's, from 1. Raises CycleError. The tests, whose servers bench borrows, are no room of the house."""
    below = {room: may - {"tests"} for room, may in ROOMS.items()}
    floor: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():
        floor[room] = 1 + max((floor[one] for one in below[room]), default=0)
    return floor


def circle_in(below: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


@cache
def strangers(name: str) -> frozenset[str]:
    """Packages that are neither ours nor Python's own, which importing the module brings with it."""
    todo, seen, found = [name], set[str](), set[str]()
    while todo:
        module = HOUSE[todo.pop()]
        if module.name not in seen:
            seen.add(module.name)
            found |= _tops(module) - set(OURS) - sys.stdlib_module_names
            todo += imports(module)
    return frozenset(found)


def _tops(module: Module) -> set[str]:
    return {one.split(".")[0] for one in imported(module.tree, module.name, module.is_package)}


@pytest.mark.parametrize("name", HOUSE)
def test_imports_point_down(name: str) -> None:
    bad = refused(name, imports(HOUSE[name]))
    assert not bad, f"{name} must not import {', '.join(sorted(bad))}"


def test_the_house_is_as_small_as_it_was_planned() -> None:
    assert len(ROOMS) <= MOST_ROOMS
    assert max(floors().values()) <= MOST_FLOORS
    assert {room_of(name) for name in HOUSE} == set(ROOMS), "a room is new, or gone"


def test_kafka_the_store_and_the_risk_api_know_nothing_of_each_other() -> None:
    adapters = {"kafka", "store", "risk"}
    assert not any(ROOMS[one] & adapters for one in adapters)


def test_the_product_knows_nothing_of_what_stands_beside_it() -> None:
    product = {room_of(name) for name in HOUSE if name.split(".")[0] in PRODUCT}
    assert not any(ROOMS[room] & {*TOOLS, "tests"} for room in product)


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circle_in({name: imports(module) & set(HOUSE) for name, module in HOUSE.items()})


def test_a_circle_is_found() -> None:
    assert set(circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_need_no_driver(name: str) -> None:
    assert strangers(name) <= _NO_DRIVERS
    assert not _tops(HOUSE[name]) & _WAITS


def test_drivers_are_found_behind_what_is_imported() -> None:
    assert {"psycopg2", "aiopg"} <= strangers("creditstream.store.orders")
    assert "aiokafka" in strangers("creditstream.simulation.load")


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("schemas.order", "from creditstream.errors import StartError", "creditstream.errors"),
        ("creditstream.order.policy", "from creditstream.config.settings import X", "creditstream.config.settings"),
        ("creditstream.risk.client", "from creditstream.store.orders import X", "creditstream.store.orders"),
        ("creditstream.kafka.topic_reader", "from creditstream.store.pages import X", "creditstream.store.pages"),
        ("creditstream.store.orders", "from creditstream import web", "creditstream.web"),
        ("creditstream.web.routes", "import creditstream.risk.client", "creditstream.risk.client"),
        ("creditstream.web.routes", "from creditstream import app", "creditstream"),
        (
            "creditstream.order.pipeline",
            "def f():\n    from creditstream.store import orders",
            "creditstream.store.orders",
        ),
        ("creditstream.order.pipeline", "from ..risk.client import RiskClient", "creditstream.risk.client"),
        ("agents.orders", "from creditstream.store.orders import PostgresStore", "creditstream.store.orders"),
        ("tables.seen", "if TYPE_CHECKING:\n    from creditstream import app", "creditstream"),
        ("creditstream.kafka.topics", "from agents import orders", "agents.orders"),
        ("creditstream.worker.runtime", "from devtools.fakes import FakeStore", "devtools.fakes"),
        ("creditstream.kafka.client", "from devtools import stack", "devtools.stack"),
        ("creditstream.web.health", "from tests.support import web", "tests.support.web"),
    ],
)
def test_the_rules_find(module: str, line: str, found: str) -> None:
    assert refused(module, ours(line, module)) == {found}


def test_the_rules_let_pass() -> None:
    line = "import json\nfrom creditstream.order.ports import Store\nfrom schemas.order import Order"
    assert refused("creditstream.store.orders", ours(line, "creditstream.store.orders")) == set()
    assert refused("creditstream.operations.commands", {"creditstream.simulation.load"}) == set()
    assert refused("creditstream.__main__", {"creditstream"}) == set()


def ours(line: str, module: str) -> set[str]:
    return {one for one in imported(ast.parse(line), module) if one.split(".")[0] in OURS}


def test_there_is_something_to_check() -> None:
    assert {"schemas.order", "creditstream.order.pipeline", "agents.orders", "bench.run", "scripts.steps"} <= set(HOUSE)
    assert {"creditstream.kafka.offsets", "creditstream.order.policy", "creditstream.risk.breaker"} <= set(PURE)
