"""PURE: what an address asks for: filters, page size and cursor, each checked; or one line that says what is wrong."""

import base64
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, get_args
from uuid import UUID

from creditstream.order.ports import Search
from schemas.decision import Status

MOST = 100
_FEW = 50
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_DATE_LENGTH = len("2026-11-23")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{1,4}")
_CURSOR = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = ("status", "product", "customer", "from", "to", "cursor", "limit")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class BadQuery(ValueError):
    """What is asked makes no sense: one line for whoever asked, without what was given."""


class Query(NamedTuple):
    """A page of a list, of so many orders."""

    search: Search
    limit: int


def parse_query(given: Mapping[str, str]) -> Query:
    """`given` may hold a name more than once (a multidict). Raises BadQuery."""
    values: dict[str, str] = {}
    for name, value in given.items():
        if name not in _NAMES:
            raise BadQuery(f"no such filter; there are: {', '.join(_NAMES)}")
        if name in values:
            raise BadQuery(f"{name} is given twice")
        values[name] = value
    search = Search(
        status=_status(values.get("status")),
        product=_text("product", values.get("product")),
        customer=_text("customer", values.get("customer")),
        since=_moment("from", values.get("from"), timedelta(0)),
        until=_moment("to", values.get("to"), timedelta(days=1)),
        after=read_cursor(values["cursor"]) if "cursor" in values else None,
    )
    return Query(search, _limit(values.get("limit")))


def parse_order_id(text: str) -> UUID:
    """Raises BadQuery."""
    if not _UUID.fullmatch(text):
        raise BadQuery("the order id is not a UUID")
    return UUID(text)


def new_cursor(created_at: datetime, order_id: UUID) -> str:
    """Where the next page begins. It holds this place and nothing else, so there is nothing in it to forge.

    Filters come from each request's own address; a made-up cursor is a page that begins elsewhere in the same list.
    """
    moment = (created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_CURSOR.pack(moment, order_id.bytes)).decode()


def read_cursor(text: str) -> tuple[datetime, UUID]:
    """Raises BadQuery for anything that `new_cursor` does not write."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        moment, order_id = _CURSOR.unpack(raw)
        place = _EPOCH + timedelta(microseconds=moment), UUID(bytes=order_id)
    except (ValueError, struct.error, OverflowError):
        raise BadQuery("the cursor is not one of this list's") from None
    if new_cursor(*place) != text:
        raise BadQuery("the cursor is not one of this list's")
    return place


def _status(value: str | None) -> Status | None:
    for status in get_args(Status):
        if value == status:
            return status  # type: ignore[no-any-return]  # get_args is not typed
    if value is not None:
        raise BadQuery(f"status is one of {', '.join(get_args(Status))}")
    return None


def _text(name: str, value: str | None) -> str | None:
    if value is not None and (not _TEXT.fullmatch(value) or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise BadQuery(f"{name} has 1 to 64 characters, none of them a control character")
    return value


def _moment(name: str, value: str | None, whole_day: timedelta) -> datetime | None:
    """A date means its first moment in UTC, and as an end its last: `whole_day` is added."""
    if value is None:
        return None
    try:
        if not _MOMENT.fullmatch(value):
            raise ValueError
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise BadQuery(f"{name} is a date or date-time as in 2026-11-23 or 2026-11-23T12:00:00-03:00") from None
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return moment if len(value) > _DATE_LENGTH else moment + whole_day
    except OverflowError:
        return _LAST if moment.year > 1 else _FIRST


def _limit(value: str | None) -> int:
    if value is None:
        return _FEW
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= MOST:
        raise BadQuery(f"limit is a number from 1 to {MOST}")
    return int(value)
