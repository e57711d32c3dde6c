"""Who may import whom, read from the syntax tree: house rules that hold only as long as something checks them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("creditstream", "agents", "tables", "schemas")
MODULES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))

#: Decisions as values: they know the schemas, each other, and the words of flight.
PURE = {
    f"creditstream.{name}"
    for name in (
        *("batches", "lease", "months", "offsets", "partitions", "policy", "recordtime"),
        *("reopening", "retry", "routes", "throughput", "watchdog"),
    )
}
PURE_MAY = PURE | {"creditstream.errors", "creditstream.order.flight", "creditstream.version"}
#: What an adapter may know beside its own folder, the schemas and its driver.
COMMON = {
    "creditstream.errors",
    "creditstream.metrics",
    "creditstream.order.ports",
    "creditstream.config.secret",
    "creditstream.config.settings",
    "creditstream.config.tls",
    "creditstream.version",
}
PARTS = ("creditstream.risk", "creditstream.store", "creditstream.kafka.fenced_publisher", "creditstream.web")
#: Faust's pages register themselves with the app and read its tables; nothing below them does.
WEB_MAY = {
    "creditstream.worker.app",
    "creditstream.kafka.client",
    "creditstream.main",
    "creditstream.config.retention",
    "creditstream.order.home_partition",
    "creditstream.worker.runtime",
    "creditstream.config.hosts",
    "creditstream.kafka.topics",
    "tables",
}
#: The order's way: ports and pure modules, and the parts of the pipeline itself.
PIPELINE = {
    "creditstream.order.pipeline",
    "creditstream.order.delays",
    "creditstream.order.flight",
    "creditstream.order.fair_queue",
    "creditstream.order.dead_letters",
    "creditstream.order.outbox",
    "creditstream.order.scoring",
    "creditstream.order.settlement",
    "creditstream.order.unforeseen",
}
PIPELINE_MAY = PIPELINE | PURE | COMMON - {"creditstream.config.settings"}
AGENTS_MAY = {
    "creditstream.worker.app",
    "creditstream.worker.intake",
    "creditstream.main",
    "creditstream.order.pipeline",
    "creditstream.kafka.topics",
    "agents",
    "schemas",
    "tables",
}
#: These wire everything together.
WIRING = {"creditstream.worker.app", "creditstream.main", "creditstream.worker.runtime"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[str]:
    """Every module of ours that `module` imports, at any depth, also inside functions and for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in OURS)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".") if is_package else module.split(".")[:-1]
                above = here[: len(here) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            if base.split(".")[0] in OURS:
                # `from creditstream import policy` names a module, `from creditstream.order.policy import x` does not.
                yield from (deepest(base, alias.name) for alias in node.names)


def deepest(base: str, name: str) -> str:
    stem = ROOT.joinpath(*base.split("."), name)
    return f"{base}.{name}" if stem.with_suffix(".py").exists() or stem.is_dir() else base


def imports_of(path: Path) -> set[str]:
    return set(imports(ast.parse(path.read_text()), name_of(path), path.name == "__init__.py"))


def within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def strangers(tree: ast.AST) -> set[str]:
    """Packages that are neither ours nor Python's own."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - set(OURS) - sys.stdlib_module_names


def refused(name: str, imported: set[str]) -> set[str]:
    """The imports of module `name` that the rules forbid."""
    bad = set()
    if not within(name, {"agents", *WIRING}):
        bad |= {one for one in imported if within(one, {"agents"})}
    if not (within(name, {"devtools", "devtools.fakes"}) or "command" in name):
        bad |= {one for one in imported if within(one, {"devtools", "devtools.fakes"})}
    allowed = allowed_for(name)
    if allowed is not None:
        bad |= {one for one in imported if not within(one, allowed)}
    return bad


def allowed_for(name: str) -> set[str] | None:
    """What module `name` may import of ours; None: the two general rules are all."""
    if within(name, {"schemas"}):
        return {"schemas"}
    if name in PURE:
        return PURE_MAY | {"schemas"}
    if name in PIPELINE:
        return PIPELINE_MAY | {"schemas"}
    if within(name, {"agents"}):
        return AGENTS_MAY
    part = next((part for part in PARTS if within(name, {part})), None)
    if part is None:
        return None
    extra = WEB_MAY if part == "creditstream.web" else set()
    return COMMON | {part, "schemas"} | extra


@pytest.mark.parametrize("path", MODULES, ids=[name_of(path) for path in MODULES])
def test_imports_point_one_way(path: Path) -> None:
    bad = refused(name_of(path), imports_of(path))
    assert not bad, f"{name_of(path)} must not import {', '.join(sorted(bad))}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_need_no_driver(name: str) -> None:
    tree = ast.parse(ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text())
    assert strangers(tree) <= {"msgspec"}


def test_a_driver_is_found() -> None:
    assert strangers(ast.parse("import json, aiohttp.web\nfrom aiokafka import errors")) == {"aiohttp", "aiokafka"}


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("schemas.order", "from creditstream.errors import StartError", "creditstream.errors"),
        (
            "creditstream.order.policy",
            "from creditstream.config.settings import Settings",
            "creditstream.config.settings",
        ),
        (
            "creditstream.risk.client",
            "from creditstream.store.orders import PostgresStore",
            "creditstream.store.orders",
        ),
        ("creditstream.store.orders", "from creditstream import web", "creditstream.web"),
        ("creditstream.web.routes", "import creditstream.risk.client", "creditstream.risk.client"),
        (
            "creditstream.order.pipeline",
            "def f():\n    from creditstream.store import orders",
            "creditstream.store.orders",
        ),
        ("creditstream.order.pipeline", "from .risk.client import RiskClient", "creditstream.risk.client"),
        ("agents.orders", "from creditstream.store.orders import PostgresStore", "creditstream.store.orders"),
        ("creditstream.kafka.topics", "from agents import orders", "agents.orders"),
        ("creditstream.worker.runtime", "from devtools.fakes import FakeStore", "devtools.fakes"),
        ("creditstream.kafka.client", "from devtools import stack", "devtools.stack"),
    ],
)
def test_the_rules_find(module: str, line: str, found: str) -> None:
    assert refused(module, set(imports(ast.parse(line), module))) == {found}


def test_the_rules_let_pass() -> None:
    line = "import json\nfrom creditstream.order.ports import Store\nfrom schemas.order import Order"
    assert refused("creditstream.store.orders", set(imports(ast.parse(line), "creditstream.store.orders"))) == set()
    assert refused("creditstream.worker.app", {"agents"}) == set()
    assert refused("creditstream.operations.commands", {"creditstream.simulation.load"}) == set()


def test_there_is_something_to_check() -> None:
    names = {name_of(path) for path in MODULES}
    assert {"schemas.order", "creditstream.order.pipeline", "creditstream.kafka.offsets", "agents.orders"} <= names
