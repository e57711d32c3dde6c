"""What a scenario is: a script of calls, and what whoever made them has to see, on the model as on the real server."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

#: What was seen, in order: of plain things, so that it can be compared across processes.
Seen = list[Any]


class Scenario(NamedTuple):
    """`play` takes a `Kafka` or a `Postgres` (sides.py), and `right` is what it has to return."""

    name: str
    play: Callable[[Any], Awaitable[Seen]]
    right: Seen


class Book:
    """The scenarios of one kind of server."""

    def __init__(self) -> None:
        self.scenarios: list[Scenario] = []

    def scenario(self, *right: Any) -> Callable[[Callable[[Any], Awaitable[Seen]]], None]:
        """Decorates a function whose name is the scenario's."""

        def take(play: Callable[[Any], Awaitable[Seen]]) -> None:
            self.scenarios.append(Scenario(play.__name__, play, list(right)))

        return take


KAFKA, POSTGRES = Book(), Book()
