"""A seeded run of half a minute: from 4 to 12 partitions, months dropped, a customer forgotten, workers killed, and the
books agree; with one thing more missing than what went on purpose, they do not."""

import asyncio
from collections.abc import Callable
from copy import copy
from pathlib import Path

from rich.console import Console

from tests.chaos.evidence import Books
from tests.chaos.progress import Shown
from tests.chaos.report import Result, render
from tests.chaos.runner import chaos
from tests.chaos.verifier import verify
from tests.support.servers import LOCAL

#: Any seed must be clean; this one's schedule has each kind within the time, and growth first.
_SEED = 278
_NAMES = ("grow", "retention", "forget", "kill")
_MINUTES, _PAUSE = 0.48, 0.5
_RATE = 80.0
Change = Callable[[Books], None]


def test_growth_retention_and_forgetting_while_workers_are_killed(tmp_path: Path) -> None:
    result = asyncio.run(
        chaos(
            seed=_SEED,
            minutes=_MINUTES,
            pause=_PAUSE,
            names=_NAMES,
            rate=_RATE,
            root=tmp_path / "run",
            cache=LOCAL / "cache",
            workers=2,
            show=Shown(print),
        )
    )
    render(Console(width=120), result)
    assert result.failures == []
    assert result.verdict.clean, result.verdict.examples
    assert result.verdict.orders > _RATE * _MINUTES * 60 * 0.8
    assert set(result.faults) == set(_NAMES)
    assert result.removed == {"dropped": 60, "expired": 30, "forgotten": 1}
    assert any("from 4 to 12 partitions" in operation.said for operation in result.operations)
    assert result.books is not None
    assert {record.partition for record in result.books.orders} == set(range(12)), "producers found the new partitions"
    for name, change in CALIBRATION.items():
        assert not verify_again(result, change), f"{name} was not found"


def verify_again(result: Result, change: Change) -> bool:
    """Whether the run's own books are clean with that change."""
    assert result.books is not None
    books = copy(result.books)
    for name in ("rows", "statuses", "keys", "letters"):
        setattr(books, name, list(getattr(books, name)))
    change(books)
    return verify(books).clean


def lose_a_row(books: Books) -> None:
    """Of a month that was to stay."""
    books.rows.pop()


def lose_a_moved_status(books: Books) -> None:
    """Growth removed what stood before, and one copy is missing."""
    key = str(books.rows[-1]["order_id"]).encode()
    books.statuses[:] = [each for each in books.statuses if each.key != key or each.era == 0]


def lose_a_tombstone(books: Books) -> None:
    dropped = {str(order_id).encode() for order_id in books.purpose.dropped}
    [*_, last] = [each for each in books.statuses if each.key in dropped and each.value is None]
    books.statuses.remove(last)


def lose_an_id(books: Books) -> None:
    """Of a dropped order whose time is not over."""
    books.keys.remove(max(books.purpose.dropped - books.purpose.expired))


def keep_a_name(books: Books) -> None:
    place = next(place for place, row in enumerate(books.rows) if row["customer_id"] == "[forgotten]")
    books.rows[place] = books.rows[place] | {"customer_id": max(books.purpose.forgotten)}


CALIBRATION: dict[str, Change] = {
    "a row that went": lose_a_row,
    "a status that growth did not move": lose_a_moved_status,
    "a tombstone that is missing": lose_a_tombstone,
    "an id that went too soon": lose_an_id,
    "a name that stayed": keep_a_name,
}
