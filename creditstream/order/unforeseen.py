"""An error of one record that nobody foresaw: said once, counted, and never the end of a loop, an agent, a worker."""

import logging
from types import TracebackType

from creditstream.metrics.instruments import Instruments

log = logging.getLogger(__name__)

#: What a record's own bytes can bring about. Everything else (a connection, the event loop) is a server's, or ours.
OF_A_RECORD = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, RecursionError)

_Told = tuple[type[BaseException], BaseException, TracebackType | None]


def note(metrics: Instruments, step: str, error: BaseException, place: dict[str, object]) -> None:
    """One log line with the traceback, and one in the metric. `step`: as in the catalogue; `place`: fields of the line.

    Called by whoever goes on without the record, or without the part of it that failed.
    """
    metrics.record_errors.add(step)
    where = ", ".join(f"{name} {value}" for name, value in place.items())
    log.error(
        "%s while a record was to be %s (%s)", type(error).__name__, step, where, exc_info=_told(error), extra=place
    )


def _told(error: BaseException) -> _Told:
    """Where it happened. Not its text, which may quote the record: personal data stays out of the log."""
    silent = RuntimeError(f"{type(error).__name__}: its text may quote the record and is left out")
    return RuntimeError, silent, error.__traceback__
