"""The customer's id as `forget` gets it: from standard input, or as an argument, which a list of processes shows."""

import getpass
import sys

from creditstream.errors import StartError
from schemas.status import FORGOTTEN_CUSTOMER

#: As in an order (schemas/order.py).
_LONGEST = 64
#: More than any id has bytes, with its line end.
_MOST = 1_024
_WHERE = "forget: the customer's id"


def customer_id(given: str | None) -> str:
    """`given`, or for None and `-` one line of standard input; on a terminal it is asked for and not shown.

    Only the line's end is taken off. Raises StartError, which never holds the id.
    """
    if given in (None, "-"):
        return _checked(_typed() if sys.stdin and sys.stdin.isatty() else _piped())
    return _checked(given)


def _typed() -> str:
    try:
        return getpass.getpass("The customer's id (it is not shown): ")
    except EOFError:
        return ""


def _piped() -> str:
    data = sys.stdin.buffer.read(_MOST) if sys.stdin else b""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise StartError(f"{_WHERE} on standard input is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if "\n" in text or "\r" in text:
        raise StartError(f"{_WHERE}: standard input has more than one line, and one customer is forgotten at a time")
    return text


def _checked(text: str) -> str:
    if not text:
        raise StartError(f"{_WHERE} is empty: give one line on standard input, or --customer")
    if len(text) > _LONGEST:
        raise StartError(f"{_WHERE} has more than {_LONGEST} characters, and no order's has")
    if text == FORGOTTEN_CUSTOMER or not _is_text(text):
        raise StartError(f"{_WHERE}: no customer has such an id")
    return text


def _is_text(text: str) -> bool:
    """Without control characters, and without what a terminal in another encoding leaves."""
    return not any(ord(each) < 0x20 or ord(each) == 0x7F or 0xD800 <= ord(each) <= 0xDFFF for each in text)
