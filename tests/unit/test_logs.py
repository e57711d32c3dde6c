"""A storm of the same line becomes a few; different lines, and our own, all come through."""

import logging

from creditstream.logs import Throttle


def record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, (), None)


def test_a_storm_is_throttled_and_starts_anew_after_a_while() -> None:
    now = 0.0
    throttle = Throttle(most=3, seconds=10, clock=lambda: now)
    assert sum(throttle.filter(record("aiokafka", "cannot connect")) for _ in range(1_000)) == 3
    assert throttle.filter(record("aiokafka", "something else"))
    assert all(throttle.filter(record("creditstream.x", "ours")) for _ in range(10))
    now = 11.0
    assert throttle.filter(record("aiokafka", "cannot connect"))
