"""The last resort of a worker that is told to stop: what hangs then is left as it is."""

import logging
import os
import sys
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

STOPS_WITHIN = 28.0
"""Seconds. Supervisors kill after 30. With all servers frozen an orderly end takes 20, by the default drain time."""


def end_within(seconds: float, exit_code: Callable[[], int]) -> None:
    """Called when the stop begins. Ends the process if it is still there after so long, whatever it waits for.

    That costs nothing but time: what was not acknowledged is delivered again, as after any crash.
    """

    def end() -> None:
        log.error("not stopped after %g s: ended as it stands; orders in flight are delivered again", seconds)
        sys.stderr.flush()
        os._exit(exit_code())

    timer = threading.Timer(seconds, end)
    timer.daemon = True  # a stop that is in time does not wait for it
    timer.start()
