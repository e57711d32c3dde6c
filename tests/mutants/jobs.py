"""What the command and its servers say to each other: a line of JSON each, through pipes."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.mutants.forked import End
from tests.mutants.places import Outer


@dataclass(frozen=True)
class Job:
    """A mutant that stands in its file.

    `outer`: the function that gets its code; None: the server has imported the file as it is. `tests`: those that may
    find it, with the seconds that they take.
    """

    path: str
    outer: Outer | None
    tests: dict[str, float]

    def as_text(self) -> str:
        return json.dumps(asdict(self) | {"outer": self.outer})

    @classmethod
    def from_text(cls, text: str) -> "Job":
        told: dict[str, Any] = json.loads(text)
        return cls(told["path"], Outer(*told["outer"]) if told["outer"] else None, told["tests"])


def own_streams() -> tuple[int, int]:
    """The pipes for jobs and replies. Called before anything may print: that goes to standard error from now on."""
    jobs, replies = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    return jobs, replies


def serve(streams: tuple[int, int], do: Callable[[Job], End]) -> None:
    """Until there are no more jobs. The first line says that the server is ready."""
    jobs, replies = streams
    os.write(replies, b"ready\n")
    with os.fdopen(jobs, encoding="utf-8") as lines:
        for line in lines:
            os.write(replies, json.dumps(do(Job.from_text(line))).encode() + b"\n")
