"""Workers are killed and frozen at every arrow of an order's way; another finishes; the books must be clean (I5)."""

import signal
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from creditstream.simulation.mix import Line, make_mix
from devtools.programs import Worker, http
from devtools.wait import wait_for
from tests.chaos.evidence import NO_FILE
from tests.chaos.group import Group, is_at_work, is_back, is_stopped
from tests.chaos.stopped_worker import POINTS
from tests.support.cloned import Template
from tests.support.product import audited
from tests.support.servers import Servers

#: Groups side by side, each for its share of the points: most of the time is waiting for a group to give up its member.
_AT_ONCE = 7
_ORDERS = 150
_WITHIN = 180.0
#: Points of orders that are tried again, or wait for a person. So many of each, of which some meet the worker.
_NOT_DECIDED_AT_ONCE = {
    "before_retry",
    "after_retry_delivered",
    "before_settled_letter",
    "after_settled_letter_delivered",
    "before_settled_letter_acknowledge",
}
_SUCH = 20
_NO_FILE = NO_FILE.encode()
#: The API wants more patience than one order has, and gets a second of it: each is one call, and one more later.
_LATER: dict[str, object] = {"status": 503, "retry_after": "3600"}
_PUT_OFF = "SELECT count(*) FROM orders WHERE reason IN ('waiting_for_risk', 'risk_unavailable')"
_SETTINGS = {"retry_max_delay": 1, "risk_attempt_timeout": 10}
#: Points that every order passes; a whole batch passes the others at once.
_PASSED_BY_EACH = {"after_decode", "before_risk_call", "after_risk_answer", "before_acknowledge", "after_acknowledge"}


class Story:
    """One group's: worker after worker stops, and the same other one finishes. The first one stops alone."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._other: Worker | None = None
        self._sent = self.orders = self.waiting = 0

    def stops(self, point: str, number: signal.Signals) -> None:
        before, asked_before = self._calls(), set(self._asked())
        passing = "5" if point in _PASSED_BY_EACH else "1"
        name = f"{point}-{number.name}"
        stopped = self._group.worker(name, "stopped_worker", point, number.name, passing, **_SETTINGS)
        stopped.wait_until_ready()
        wait_for(lambda: is_at_work(stopped), _WITHIN, "the worker has partitions")
        # As many spoilt lines that one of them meets the worker, which may have half of the partitions.
        such = _SUCH if point in _NOT_DECIDED_AT_ONCE else 0
        lines = make_mix(_ORDERS, 10, 5, 20, seed=self._sent, no_file=such)
        half = len(lines) // 2
        self._put_off([line for line in lines[:half] if line.kind == "order" and _NO_FILE not in line.value][:such])
        self._send(lines[:half])
        wait_for(lambda: is_stopped(stopped, number), _WITHIN, f"the worker stops {point}")
        rebalances = stopped.log().count("rebalancing")
        in_flight = self._asked_and_not_decided()
        self._other = self._other or self._group.worker("other", **_SETTINGS)
        self._send(lines[half:])
        self.orders, self.waiting = self.orders + _ORDERS, self.waiting + such
        self._group.settle(self._sent)
        if number is signal.SIGSTOP:
            stopped.send(signal.SIGCONT)
            wait_for(lambda: stopped.log().count("rebalancing") > rebalances, _WITHIN, "the zombie notices")
            wait_for(is_back(stopped), _WITHIN, "the zombie is back in the group")
            assert stopped.stop() == 0
        # I6: one call an order, one more of each that was put off, and for those in flight at the stop one by the other
        # worker. A zombie may ask about all that it had taken before it notices.
        zombies = half if number is signal.SIGSTOP else 0
        calls, bound = self._calls() - before, _ORDERS + such + len(in_flight) + zombies
        again = [
            (key, [(f"{at % 1000:.2f}", status) for at, status, _ in calls])
            for key, calls in self._asked().items()
            if key not in asked_before and len(calls) > 1 + (key in in_flight)
        ]
        assert calls <= bound, f"{calls} risk calls for {_ORDERS} orders, {bound} are within I6: again {again}"

    def ends(self) -> None:
        """What was put off is decided too, and all of it is done."""
        wait_for(lambda: self._group.database.fetch(_PUT_OFF) == [(0,)], _WITHIN, "what was put off is decided")
        assert self._other and self._other.stop() == 0

    def _send(self, lines: Sequence[Line]) -> None:
        self._group.topics.produce("orders", [(None, line.value) for line in lines])
        self._sent += len(lines)

    def _put_off(self, lines: Sequence[Line]) -> None:
        self._group.risk.control(orders={str(line.order_id): [_LATER] for line in lines})

    def _asked_and_not_decided(self) -> set[str]:
        """Orders that the API was asked about and PostgreSQL holds no score of: whoever goes on asks about them again.

        Those that were put off are counted elsewhere. The first look makes sure that the API has read what was sent.
        """
        self._calls()
        asked = {
            key for key, calls in self._asked().items() if any(status != _LATER["status"] for _, status, _ in calls)
        }
        rows = self._group.database.fetch("SELECT order_id::text FROM orders WHERE score IS NOT NULL")
        return asked - {order_id for (order_id,) in rows}

    def _asked(self) -> dict[str, list[tuple[float, int, int | None]]]:
        journal: dict[str, list[tuple[float, int, int | None]]] = http(f"{self._group.risk.url}/journal?full=1")
        return journal

    def _calls(self) -> int:
        return int(self._group.risk.journal()["calls"])


def play(group: Group, points: Sequence[str]) -> str:
    """What went wrong; empty: nothing. A point where it did ends the story."""
    group.risk.control(latency_ms=20)
    story = Story(group)
    for point in points:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            try:
                story.stops(point, number)
            except Exception:  # noqa: BLE001 - whatever it is, the other groups go on
                return f"{point} {number.name}: {traceback.format_exc(limit=-3)}"
    story.ends()
    report = audited(group.environ)
    assert (report["orders"], report["under_review"]) == (story.orders, story.waiting), report
    return ""


def test_a_worker_that_stops_at_any_point_loses_and_doubles_nothing(
    stack: Servers, template: Template, tmp_path: Path
) -> None:
    def case(points: Sequence[str]) -> str:
        try:
            with Group.opened(stack, template, tmp_path / points[0]) as group:
                return play(group, points)
        except Exception:  # noqa: BLE001 - as above
            return f"{points}: {traceback.format_exc(limit=-3)}"

    shares = [list(POINTS)[first::_AT_ONCE] for first in range(_AT_ONCE)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        problems = [problem for problem in pool.map(case, shares) if problem]
    assert not problems, "\n".join(problems)
