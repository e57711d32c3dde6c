"""Logging: one line per event on standard error, as text or JSON, and no records built that nobody reads."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from creditstream.config.settings import Settings

#: aiokafka and Faust build DEBUG records for every message: 10 % of a worker's CPU (docs/measurements/performance.md).
_OTHERS = "WARNING"
_OURS = ("creditstream", "agents", "tables", "schemas")


#: What a record may carry beside its text (`extra=`), to find all lines about one order or one place in a topic.
FIELDS = ("order_id", "topic", "partition", "offset", "reason")


class Throttle(logging.Filter):
    """Lets through the first lines of each message in a while: with Kafka away aiokafka writes thousands a second.

    Our own get more room: one for each order is fine until an outage makes them a storm. What was left out is counted
    in the next line of the same message that comes through. Any thread may call it; what it raises, the logging call
    raises.
    """

    def __init__(
        self, most: int = 5, ours: int = 100, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._most, self._ours, self._seconds, self._clock = most, ours, seconds, clock
        self._counts: dict[tuple[str, str], int] = {}
        self._left_out: dict[tuple[str, str], int] = {}
        self._since = clock()
        #: Memory that is taken in here may bring the collector, and an object that logs as it goes.
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            return self._passes(record)

    def _passes(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if now - self._since > self._seconds:
            self._start_anew(now)
        key = (record.name, str(record.msg))
        self._counts[key] = count = self._counts.get(key, 0) + 1
        if count > self._bound(record.name):
            return False
        if left_out := self._left_out.pop(key, 0):
            record.msg = f"{record.msg} ({left_out} more like this were left out before)"
        return True

    def _bound(self, name: str) -> int:
        return self._ours if name.startswith(_OURS) else self._most

    def _start_anew(self, now: float) -> None:
        self._since = now
        counts, self._counts = self._counts, {}
        beyond = {key: count - self._bound(key[0]) for key, count in counts.items()}
        self._left_out = {key: count for key, count in beyond.items() if count > 0}


class JsonLine(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the FIELDS that the record carries, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def logging_config(settings: Settings) -> dict[str, Any]:
    """For logging.config.dictConfig."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": JsonLine},
        },
        "filters": {"throttle": {"()": Throttle}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": settings.log_format, "filters": ["throttle"]}
        },
        "root": {"level": _OTHERS, "handlers": ["stderr"]},
        "loggers": {name: {"level": settings.log_level} for name in _OURS},
    }
