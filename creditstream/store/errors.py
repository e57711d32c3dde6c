"""The one place that turns what psycopg2, aiopg and asyncio raise into what this program does about it."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errors as driver

from creditstream.errors import StoreRefused, StoreTakenBack, StoreUnavailable, StoreUseless

_ROW_ERRORS = {
    "22": "invalid_data",
    "23": "constraint_violation",
    "44": "constraint_violation",
    "54": "limit_exceeded",
    "P0": "constraint_violation",
}
"""SQLSTATE classes that are the row's own fault: the same row would fail for ever. 44 and P0 are a lender's own rules
(a view's check, a trigger that raises)."""

_OF_THE_STATEMENT = {*_ROW_ERRORS, "40", "53", "55"}
"""Classes that say nothing against the server and the session: beside the rows', a deadlock, no memory, a lock."""
_CANCELLED = "57014"
_SCHEMA = "42"
_OVERLAPS = "42P17"
"""A month that somebody's own partition holds a part of: its table can never be made."""
#: Of our own: sql/migrations/0005_taken_back.sql.
_IS_TAKEN_BACK = "CS001"
TAKEN_BACK = (
    "PostgreSQL is older than what was published (taken back, or a fail-over that lost commits): "
    "run `faust -A creditstream restore`"
)
READ_ONLY = "25006"
_WHAT_TO_DO = {
    READ_ONLY: "it is read-only (a standby, or default_transaction_read_only): the address should lead to the primary",
    "42501": "the role lacks a right: GRANT it, or is this another database than the one that was migrated?",
    "42P01": "is this another database than the one that was migrated? Else run `faust -A creditstream migrate`",
    "42703": "is this database older than this program? Run `faust -A creditstream migrate`",
    "42883": "is this another database than the one that was migrated? Else run `faust -A creditstream migrate`",
}

#: What libpq and the server say, which for a connection that failed is all there is: no SQLSTATE.
_REFUSALS = re.compile(
    r"certificate|SSL error|does not support SSL|password authentication failed|no password supplied"
    r"|no pg_hba\.conf entry|role .* does not exist|is not permitted to log in"
)


class BadRow(Exception):
    """A row of this batch will never be taken: `reason` is a stable word, the text never holds values."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingPartition(BadRow):
    """A month of this batch has no partition yet."""


@contextmanager
def translated() -> Iterator[None]:
    """Around every use of the driver. Raises BadRow, MissingPartition or StoreUnavailable, and nothing of the driver.

    `from None` throughout: the driver's texts and their chain hold row values.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        # aiopg raises this, of all things, when PostgreSQL's statement time-out ends a query.
        if isinstance(error.__context__, driver.QueryCanceled):
            raise StoreUnavailable("PostgreSQL: the statement took too long") from None
        raise
    except TimeoutError:
        raise StoreUnavailable("PostgreSQL: no answer in time") from None
    except psycopg2.Error as error:
        raise _named(error) from None


def is_of_the_server(error: Exception, *, of_the_schema: bool = True) -> bool:
    """Whether no connection to that server should be used again; an answer that does not come is such an error.

    `of_the_schema`: so is a right, a table or a function that is not there.

    Everything is but what is known to be the statement's: to open a connection is cheap, to keep a useless one is not.
    """
    state = error.pgcode or "" if isinstance(error, psycopg2.Error) else ""
    if state[:2] == _SCHEMA and not of_the_schema:
        return False
    return state != _CANCELLED and state[:2] not in _OF_THE_STATEMENT


def _named(error: psycopg2.Error) -> Exception:
    state = error.pgcode or ""
    kind = f"{type(error).__name__} {state}".strip()
    if state == "23514" and not error.diag.constraint_name:
        return MissingPartition("constraint_violation", f"{kind}: no partition for created_at")
    if state == _OVERLAPS:
        return BadRow("constraint_violation", f"{kind}: another partition holds a part of the month of created_at")
    if state[:2] in _ROW_ERRORS:
        where = error.diag.constraint_name or error.diag.column_name
        return BadRow(_ROW_ERRORS[state[:2]], f"{kind} on {where}" if where else kind)
    if state == _IS_TAKEN_BACK:
        return StoreTakenBack(TAKEN_BACK)
    text = error.diag.message_primary or _first_line(error)
    unavailable = StoreRefused if not state and _REFUSALS.search(text) else StoreUnavailable
    if state in _WHAT_TO_DO:
        unavailable, text = StoreUseless, f"{text}: {_WHAT_TO_DO[state]}"
    return unavailable(f"PostgreSQL: {kind}: {text}")


def _first_line(error: psycopg2.Error) -> str:
    return next(iter(str(error).strip().splitlines()), "no details")
