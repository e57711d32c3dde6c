"""Logging: one line per event on standard error, and no records built that nobody reads."""

import logging
import time
from collections.abc import Callable
from typing import Any

from creditstream.settings import Settings

#: aiokafka and Faust build DEBUG records for every message: 10 % of a worker's CPU (docs/performance.md).
_OTHERS = "WARNING"
_OURS = ("creditstream", "agents", "tables", "schemas")


class Throttle(logging.Filter):
    """Lets through the first lines of each message in a while: with Kafka away aiokafka writes thousands a second."""

    def __init__(self, most: int = 5, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._seconds, self._clock = most, seconds, clock
        self._counts: dict[tuple[str, str], int] = {}
        self._since = clock()

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if now - self._since > self._seconds:
            self._counts.clear()
            self._since = now
        key = (record.name, str(record.msg))
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key] <= self._most or record.name.startswith(_OURS)


def logging_config(settings: Settings) -> dict[str, Any]:
    """For logging.config.dictConfig."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"throttle": {"()": Throttle}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["throttle"]}},
        "root": {"level": _OTHERS, "handlers": ["stderr"]},
        "loggers": {name: {"level": settings.log_level} for name in _OURS},
    }
