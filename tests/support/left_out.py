"""What a test needs and this machine cannot have: the test is left out with one line, or fails where nothing may be.

`tests/conftest.py` calls `left_out` for every NotHere; continuous integration sets TEST_ALL, so that nothing is.
"""

import os
from collections.abc import Mapping
from typing import NoReturn

import pytest


class NotHere(Exception):
    """One line for a person: what is missing, and why it cannot be had. Raised by the tools of tests/support."""


def left_out(why: NotHere, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Ends the test: skipped, or failed if `TEST_ALL` is set."""
    if environ.get("TEST_ALL"):
        pytest.fail(f"{why} (TEST_ALL: nothing is left out)", pytrace=False)
    pytest.skip(str(why))
