"""What commands took away on purpose is no loss; whatever else is missing, or is still there, is a fault."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.chaos.evidence import Books, Logged, Purpose
from tests.chaos.test_verifier import ONE, TWO, clean_books, letter, order, remove, row, status
from tests.chaos.verifier import verify

Change = Callable[[Books], Any]


def tombstone(offset: int, order_id: object) -> Logged:
    return Logged(0, offset, str(order_id).encode(), None, {})


def dropped_books() -> Books:
    """Order TWO's month was dropped: its row is gone, its id stays, a tombstone ends its statuses; it comes again."""
    books = clean_books()
    books.purpose = Purpose(dropped={TWO})
    del books.rows[1]
    books.statuses.append(tombstone(4, TWO))
    for offset, value in enumerate((order(TWO), order(TWO, "12.00"), order(TWO, channel="x")), start=5):
        books.orders.append(Logged(0, offset, None, value, {}))
        kind = "conflict" if b"12.00" in value else "duplicate"
        books.sent.append(books.sent[0]._replace(kind=kind, value=value, place=(0, offset)))
    books.sent[4] = books.sent[4]._replace(kind="order")
    books.letters += [letter(3, books.orders[6], "conflict"), letter(4, books.orders[7], "row_removed")]
    return books


def grown_books() -> Books:
    """Growth copied the last status of each order to another partition and removed what stood before."""
    books = clean_books()
    books.begins = {0: 4, 7: 0}
    books.statuses += [status(0, row(ONE))._replace(partition=7, era=1)]
    books.statuses += [status(4, row(TWO))._replace(era=1)]
    return books


def forgotten_books() -> Books:
    """The customer of all orders: his rows, the statuses after them and the conflict's letter have no content."""
    books = clean_books()
    books.purpose = Purpose(forgotten={"c-1"})
    for each in books.rows:
        each.update(customer_id="[forgotten]", version=3)
    books.letters[0] = books.letters[0]._replace(key=None, value=None)
    books.statuses += [status(4, books.rows[0]), status(5, books.rows[1])]
    return books


@pytest.mark.parametrize("make", [dropped_books, grown_books, forgotten_books])
def test_what_was_meant_is_clean(make: Callable[[], Books]) -> None:
    verdict = verify(make())
    assert verdict.clean, verdict.examples


def test_the_same_without_the_purpose_is_not() -> None:
    for make in (dropped_books, forgotten_books):
        books = make()
        books.purpose = Purpose()
        assert not verify(books).clean


def put_row_back(books: Books) -> None:
    books.rows.append(row(TWO))


FAULTS: list[tuple[str, Callable[[], Books], str, Change]] = [
    ("the row is still there", dropped_books, "divergent", put_row_back),
    ("another row is gone too", dropped_books, "lost", remove("rows", 0)),
    ("the id is gone before its time", dropped_books, "divergent", remove("keys", 1)),
    ("the id is still there", dropped_books, "divergent", lambda b: b.purpose.expired.add(TWO)),
    ("no tombstone", dropped_books, "orphans", lambda b: b.statuses.pop()),
    ("a status after the tombstone", dropped_books, "orphans", lambda b: b.statuses.append(status(9, row(TWO)))),
    ("a tombstone of another order", dropped_books, "divergent", lambda b: b.statuses.append(tombstone(9, ONE))),
    (
        "the original has a letter",
        dropped_books,
        "misjudged",
        lambda b: b.letters.append(letter(9, b.orders[4], "conflict")),
    ),
    ("a contradiction without a letter", dropped_books, "lost", lambda b: b.letters.pop(3)),
    ("growth left no status", grown_books, "lost", lambda b: b.statuses.pop()),
    ("growth copied an old state", grown_books, "divergent", lambda b: old_state(b)),
    (
        "growth left one behind",
        grown_books,
        "divergent",
        lambda b: b.statuses.append(status(5, row(ONE))._replace(era=1)),
    ),
    ("his id is in a row", forgotten_books, "divergent", lambda b: b.rows[1].update(customer_id="c-1")),
    ("his metadata are", forgotten_books, "divergent", lambda b: b.rows[1].update(metadata={"phone": "55"})),
    ("the changed row was not published", forgotten_books, "divergent", lambda b: b.statuses.pop()),
    ("his letter is whole", forgotten_books, "misjudged", lambda b: whole_letter(b)),
    ("another's letter is blank", forgotten_books, "misjudged", lambda b: blank_line(b)),
]


def old_state(books: Books) -> None:
    books.statuses[-1] = status(4, row(TWO), status="under_review", score=None, version=1)._replace(era=1)


def whole_letter(books: Books) -> None:
    books.letters[0] = books.letters[0]._replace(value=books.orders[2].value)


def blank_line(books: Books) -> None:
    books.letters[1] = books.letters[1]._replace(value=None)


@pytest.mark.parametrize(("make", "fault", "change"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_whatever_else_is_amiss_is_found(make: Callable[[], Books], fault: str, change: Change) -> None:
    books = deepcopy(make())
    change(books)
    verdict = verify(books)
    assert getattr(verdict, fault), verdict.examples
