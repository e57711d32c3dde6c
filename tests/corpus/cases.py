"""PURE: the corpus as it stands in the .toml files beside this one; README.md says what each word means."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

FOLDER = Path(__file__).parent
#: What may have come of a record when no dead letter is told by its reason.
#: order: a row. duplicate: the row is its first record's. none: it never existed. shown: a letter that others wrote.
OUTCOMES = ("order", "duplicate", "none", "shown")

Kind = Literal[
    "kafka4", "older", "log-append", "recompressed-gzip", "recompressed-snappy", "recompressed-lz4", "recompressed-zstd"
]
Place = Literal["home", "away", "each", "any"]
Topic = Literal["orders", "orders-by-id", "orders-retry", "orders-dead-letter", "order-status", "seen-changelog"]


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record and what must come of it; README.md says what its fields mean."""

    part: str = ""
    name: str
    expect: str | list[str]
    why: str = ""
    topic: Topic = "orders"
    fields: dict[str, str] = {}
    without: list[str] = []
    value: Any = "<order>"
    key: Any = msgspec.field(default_factory=lambda: {"null": True})
    headers: list[tuple[Any, Any]] = []
    more_headers: int = 0
    timestamp: int | str = ""
    id: Literal["v4", "v1", "v7", "nil", "max"] = "v4"
    places: tuple[Place, ...] = ("any",)
    by: tuple[str, ...] = ("aiokafka/*", "librdkafka/*", "console/*")
    topics: tuple[Kind, ...] = ("kafka4", "older")
    repeats: Literal["", "usual", "aborted"] = ""
    transaction: Literal["", "commit", "abort"] = ""
    row: dict[str, Any] = {}
    letter: dict[str, str] = {}
    message: str = ""
    letter_is_cut: bool = False
    customer_is_forgotten: bool = False

    @property
    def outcomes(self) -> list[str]:
        """Any of them is right."""
        return [self.expect] if isinstance(self.expect, str) else self.expect


#: What a case with `repeats` repeats.
FIRST = Case(part="first", name="the usual order, before", expect="order")
FIRST_ABORTED = Case(part="first", name="the usual order, aborted", expect="none", transaction="abort")


def load(folder: Path = FOLDER) -> list[Case]:
    """All cases, by file and place in it. A file's `[usual]` table holds for each of its cases that says nothing else.

    Raises msgspec.ValidationError that names file and case.
    """
    found = []
    for file in sorted(folder.glob("*.toml")):
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        for given in table["case"]:
            try:
                found.append(msgspec.convert({**table.get("usual", {}), **given, "part": file.stem}, Case))
            except msgspec.ValidationError as error:
                raise msgspec.ValidationError(f"{file.name}: {given.get('name')}: {error}") from None
    return found
