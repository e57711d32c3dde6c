"""The program's own source as syntax trees, for the tests of how it is built."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What the wheel has.
PRODUCT = ("creditstream", "agents", "tables", "schemas")
#: What a checkout has beside it.
TOOLS = ("devtools", "bench", "scripts", "deploy")
OURS = (*PRODUCT, *TOOLS, "tests")


@dataclass(frozen=True)
class Module:
    """`text`: what its file holds."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Only for whom it is asked: the files are listed in every process of a run, and looked at in two."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def is_pure(self) -> bool:
        """By the first word of its docstring."""
        return self.text.startswith('"""PURE:')


def modules(*packages: str) -> list[Module]:
    return [_module(path) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports(module: Module) -> set[str]:
    """Every module of ours that it imports, at any depth, also inside functions and for types only."""
    return {one for one in imported(module.tree, module.name, module.is_package) if one.split(".")[0] in OURS}


def imported(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[str]:
    """As `imports`, and those that are not ours too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join([*here[: len(here) - node.level + 1], *filter(None, [node.module])])
            # `from creditstream import risk` names a package, `from creditstream.order.policy import x` does not.
            yield from (_deepest(base, alias.name) for alias in node.names)


def _deepest(base: str, name: str) -> str:
    stem = ROOT.joinpath(*base.split("."), name)
    return f"{base}.{name}" if stem.with_suffix(".py").exists() or (stem / "__init__.py").exists() else base


@cache
def _module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
