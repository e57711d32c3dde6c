"""A storm of the same line becomes a few that say how many; JSON lines carry the order and its place, nothing else."""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec

from creditstream.worker.logs import JsonLine, Throttle


def record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, (), None)


def test_a_storm_is_throttled_and_starts_anew_after_a_while() -> None:
    now = 0.0
    throttle = Throttle(most=3, seconds=10, clock=lambda: now)
    assert sum(throttle.filter(record("aiokafka", "cannot connect")) for _ in range(1_000)) == 3
    assert throttle.filter(record("aiokafka", "something else"))
    assert all(throttle.filter(record("creditstream.x", "ours")) for _ in range(10))
    now = 11.0
    later = record("aiokafka", "cannot connect")
    assert throttle.filter(later)
    assert later.getMessage() == "cannot connect (997 more like this were left out before)"


def test_our_own_lines_have_more_room_and_a_bound() -> None:
    throttle = Throttle(most=3, ours=50, seconds=10, clock=lambda: 0.0)
    assert sum(throttle.filter(record("creditstream.order.scoring", "order %s")) for _ in range(1_000)) == 50


def test_a_json_line_has_its_fields_and_no_others() -> None:
    line = record("creditstream.order.scoring", 'a "line"\nof two')
    place = {"order_id": "7b0c", "topic": "orders", "partition": 3, "offset": 41}
    vars(line).update(place, customer_id="c-102")
    read = msgspec.json.decode(JsonLine().format(line))
    assert read.pop("time").endswith("+00:00")
    assert read == {
        "level": "ERROR",
        "logger": "creditstream.order.scoring",
        "message": 'a "line"\nof two',
        **place,
    }


def test_a_json_line_holds_the_traceback() -> None:
    line = record("creditstream.x", "it broke")
    try:
        raise ValueError("of this")
    except ValueError:
        line.exc_info = sys.exc_info()
    text = JsonLine().format(line)
    assert "\n" not in text
    assert "ValueError: of this" in msgspec.json.decode(text)["traceback"]


def test_threads_log_at_once() -> None:
    """The consumer has a thread of its own, and what a filter raises ends whoever logs."""
    throttle, before = Throttle(seconds=0.0), sys.getswitchinterval()
    lines = [record("aiokafka", f"line {number}") for number in range(300)]

    def storm() -> None:
        for line in lines * 10:
            throttle.filter(line)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(storm) for _ in range(3)]:
                done.result()
    finally:
        sys.setswitchinterval(before)


def test_who_logs_while_a_line_is_counted_waits_for_nobody() -> None:
    """The collector may come at any moment, and an object that it removes may log: in the same thread."""
    throttle = Throttle(seconds=0.0)

    class Message(str):
        """Logs once more while it is counted."""

        def __hash__(self) -> int:
            throttle.filter(record("asyncio", "Task was destroyed but it is pending"))
            return super().__hash__()

    line = record("aiokafka", "")
    line.name = Message("aiokafka")
    done = threading.Thread(target=throttle.filter, args=(line,), daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()
