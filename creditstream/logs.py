"""Logging: one line per event on standard error, and no records built that nobody reads."""

from typing import Any

from creditstream.settings import Settings

#: aiokafka and Faust build DEBUG records for every message: 10 % of a worker's CPU (docs/performance.md).
_OTHERS = "WARNING"
_OURS = ("creditstream", "agents", "tables", "schemas")


def logging_config(settings: Settings) -> dict[str, Any]:
    """For logging.config.dictConfig."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": _OTHERS, "handlers": ["stderr"]},
        "loggers": {name: {"level": settings.log_level} for name in _OURS},
    }
