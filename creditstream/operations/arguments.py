"""PURE but for the login name: what commands take from people, checked before anything is asked of a server."""

import getpass
import math
import os

import click

from creditstream.errors import StartError


class Amount(click.FloatRange):
    """A number that is at least 0 and finite: `nan` would be waited for, or sent at, for ever."""

    def __init__(self) -> None:
        super().__init__(min=0.0)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def word(option: str, text: str) -> str:
    """`text`, which is something: what a script's empty variable leaves must not count as not given.

    Raises StartError, also for what is no text in this terminal's encoding.
    """
    if not text:
        raise StartError(f"{option} is empty: give it a value, or leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StartError(f"{option}: the value is not text in UTF-8") from None
    return text


def who(given: str) -> str:
    """For a trace: who was named, else the login name, else the user's number, as in a container without names."""
    if given:
        return word("--by", given)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        return str(os.getuid())
