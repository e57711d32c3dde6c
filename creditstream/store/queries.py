"""The named statements of sql/queries.sql and sql/restore.sql. All SQL of this program stands in .sql files."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_REFERENCE = re.compile(r"\{(\w+)\}")


@cache
def _statements() -> dict[str, str]:
    bodies: dict[str, str] = {}
    for name in ("queries", "restore"):
        text = files("creditstream.store").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")
        _, *parts = _NAME.split(text)
        bodies |= {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return {name: _expand(body, bodies) for name, body in bodies.items()}


def _expand(body: str, bodies: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda reference: _expand(bodies[reference[1]], bodies), body)


def query(name: str) -> str:
    """The statement of that name, read once. Raises KeyError: a typing error in the program."""
    return _statements()[name]
