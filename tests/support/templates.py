"""The templates of deploy/aws as the tests look at them."""

from collections.abc import Iterator
from typing import Any

from deploy.aws.template import templates

FILES = templates()
RESOURCES: dict[str, dict[str, Any]] = {
    f"{file}:{name}": resource for file, content in FILES.items() for name, resource in content["Resources"].items()
}


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == kind}


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value.get(step, {})
    return value


def walk(value: Any) -> Iterator[Any]:
    """The value and all that is in it."""
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(part)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements() -> list[tuple[str, dict[str, Any]]]:
    """Of every policy in the templates, with the resource's name."""
    return [
        (name, part)
        for name, one in RESOURCES.items()
        for part in walk(one)
        if isinstance(part, dict) and "Effect" in part
    ]
