"""PURE but for reading files: which files are the core, and which of its mutants a seed takes."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.mutants.places import Mutant, compiles, defaults_of, mutants
from tests.mutants.source import Source


class Room(NamedTuple):
    """A row of the report. `files`: patterns below the tree's root."""

    name: str
    files: tuple[str, ...]


#: What an order, its acknowledgement and its letter go through. Left out: what is for the start, the web, a scrape.
ROOMS = (
    Room("order", ("creditstream/order/*.py",)),
    Room(
        "consumer",
        tuple(
            f"creditstream/kafka/{name}.py"
            for name in (
                "batches",
                "consumer",
                "consumer_thread",
                "decompression",
                "delivery",
                "filling",
                "finished",
                "offsets",
                "ownership",
                "place_reader",
                "positions",
                "publisher",
                "reading",
                "stream_queues",
                "table",
                "table_files",
            )
        ),
    ),
    Room("fences", tuple(f"creditstream/kafka/{name}.py" for name in ("fenced_publisher", "lease", "watchdog"))),
    Room("risk", ("creditstream/risk/*.py",)),
    Room("worker", tuple(f"creditstream/worker/{name}.py" for name in ("intake", "liveness", "loops", "retry_topic"))),
    Room("dead letters", ("creditstream/operations/dead_letter.py", "creditstream/operations/dlq/*.py")),
)


class Taken(NamedTuple):
    """A mutant, its room, and its file's text with the change."""

    room: str
    mutant: Mutant
    text: str


def sample(root: Path, rooms: Sequence[Room], seed: int, count: int) -> list[Taken]:
    """The same for the same seed and files, and nearly the same when a file has changed. Fewer if there are no more."""
    sources = {file: (room.name, _source(root / file)) for room in rooms for file in _files(root, room)}
    packages = {file.partition("/")[0] for file in sources}
    product = [path for package in packages for path in (root / package).rglob("*.py")]
    defaults = {each for path in product for each in defaults_of(_source(path).tree)}
    everything = [each for file, (_, source) in sources.items() for each in mutants(file, source, defaults)]
    everything.sort(key=lambda mutant: hashlib.sha256(f"{seed} {mutant.id}".encode()).digest())
    return list(_first(count, everything, sources))


def _first(count: int, everything: list[Mutant], sources: dict[str, tuple[str, Source]]) -> Iterator[Taken]:
    for mutant in everything:
        if count <= 0:
            return
        room, source = sources[mutant.file]
        text = source.changed(mutant.change)
        if compiles(text):
            count -= 1
            yield Taken(room, mutant, text)


def _files(root: Path, room: Room) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for pattern in room.files for path in root.glob(pattern))


def _source(path: Path) -> Source:
    return Source(path.read_text(encoding="utf-8"))
