"""A worker is killed, or frozen, at every arrow of an order's way; another finishes; the books must be clean (I5)."""

import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from creditstream.simulation.mix import make_mix
from devtools.wait import wait_for
from tests.chaos.group import Group, is_back, is_stopped
from tests.chaos.stopped_worker import POINTS
from tests.support.product import audited
from tests.support.servers import Servers

#: The machine has two cores; most of a case is waiting for the group to give up its dead member.
_AT_ONCE = 5
_ORDERS = 150
_WITHIN = 60.0
#: Points that every order passes; a whole batch passes the others at once.
_PASSED_BY_EACH = {"after_decode", "before_risk_call", "after_risk_answer", "before_acknowledge", "after_acknowledge"}


def play(group: Group, point: str, number: signal.Signals) -> None:
    group.risk.control(latency_ms=20)
    passing = "5" if point in _PASSED_BY_EACH else "1"
    stopped = group.worker("stopped", "stopped_worker", point, number.name, passing)
    stopped.wait_until_ready()
    lines = make_mix(_ORDERS, 10, 5, 5, seed=3)
    half = len(lines) // 2
    group.topics.produce("orders", [(None, line.value) for line in lines[:half]])
    wait_for(lambda: is_stopped(stopped, number), _WITHIN, f"the worker stops {point}")
    group.worker("other")
    group.topics.produce("orders", [(None, line.value) for line in lines[half:]])
    group.settle(len(lines))
    if number is signal.SIGSTOP:
        stopped.send(signal.SIGCONT)
        wait_for(lambda: stopped.log().count("rebalancing") > 1, _WITHIN, "the zombie notices")
        wait_for(is_back(stopped), _WITHIN, "the zombie is back in the group")
    report = audited(group.environ)
    assert (report["orders"], report["under_review"]) == (_ORDERS, 0), report
    # I6: one call an order, and for those in flight at the stop one more by the other worker and one repeated by the
    # zombie, whose own attempt timed out while it was frozen.
    calls, bound = group.risk.journal()["calls"], _ORDERS + 2 * half
    assert calls <= bound, f"{calls} risk calls for {_ORDERS} orders, {bound} are within I6"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_stops_at_any_point_loses_and_doubles_nothing(
    stack: Servers, template: str, tmp_path: Path, number: signal.Signals
) -> None:
    def case(point: str) -> str:
        try:
            with Group.opened(stack, template, tmp_path / point) as group:
                play(group, point, number)
        except Exception:  # noqa: BLE001 - whatever it is, the other cases go on
            return f"{point} {number.name}: {traceback.format_exc(limit=-3)}"
        return ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        problems = [problem for problem in pool.map(case, POINTS) if problem]
    assert not problems, "\n".join(problems)
