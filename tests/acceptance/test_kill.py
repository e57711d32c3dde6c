"""Workers that are killed, frozen and stopped while orders flow: nothing lost, nothing decided twice."""

import signal
import threading

from creditstream.simulation.mix import Line, make_mix
from devtools.programs import RiskApiProcess
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.kafka import Topics
from tests.support.product import audited, settle

_ORDERS = 1_500


def send_in_background(topics: Topics, lines: list[Line]) -> threading.Thread:
    """In ten parts, one after the other, so that orders flow for a while."""

    def send() -> None:
        for part in range(10):
            topics.produce("orders", [(None, line.value) for line in lines[part::10]])

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_worker_that_is_killed_loses_nothing(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(latency_ms=50)
    lines = make_mix(_ORDERS, 100, 30, 30, seed=5)
    workers = [start_worker(), start_worker()]
    sending = send_in_background(topics, lines)
    wait_for(lambda: risk_api.journal()["calls"] > 300, what="orders flow")
    workers[0].kill()
    start_worker()
    sending.join()
    settle(worker_environ, len(lines))
    report = audited(worker_environ)
    assert report["orders"] == _ORDERS
    assert report["under_review"] == 0
    journal = risk_api.journal()
    assert journal["keys"] <= _ORDERS + 30, "no more ids than were sent"
    assert workers[1].exit_code is None


def test_a_worker_that_is_frozen_and_wakes_does_no_harm(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(latency_ms=50)
    lines = make_mix(_ORDERS, 0, 0, 0, seed=6)
    workers = [start_worker(), start_worker()]
    sending = send_in_background(topics, lines)
    wait_for(lambda: risk_api.journal()["calls"] > 300, what="orders flow")
    workers[0].send(signal.SIGSTOP)
    sending.join()
    settle(worker_environ, len(lines))
    workers[0].send(signal.SIGCONT)
    wait_for(lambda: workers[0].log().count("at work on partitions") > 1, 60, "the frozen worker is back in the group")
    report = audited(worker_environ)
    assert (report["orders"], report["under_review"]) == (_ORDERS, 0)


def test_a_planned_stop_costs_no_second_risk_call(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(latency_ms=500)
    lines = make_mix(_ORDERS, 0, 0, 0, seed=7)
    # On a machine under load a call may take long; it must not be repeated for that.
    patient = {"drain_timeout": 20, "risk_deadline": 60, "risk_attempt_timeout": 60}
    workers = [start_worker(**patient), start_worker(**patient)]
    sending = send_in_background(topics, lines)
    wait_for(lambda: risk_api.journal()["calls"] > 300, what="orders flow")
    assert workers[0].stop(deadline=30) == 0
    sending.join()
    settle(worker_environ, len(lines))
    assert audited(worker_environ)["orders"] == _ORDERS
    assert risk_api.journal()["calls"] == _ORDERS


def test_a_stop_is_bounded_whatever_the_risk_api_does(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    risk_api.control(mode="hang")
    worker = start_worker(drain_timeout=2, risk_deadline=300, risk_attempt_timeout=300)
    lines = make_mix(40, 0, 0, 0, seed=8)
    topics.produce("orders", [(None, line.value) for line in lines])
    wait_for(lambda: risk_api.journal()["calls"] >= 40, what="all calls hang")
    assert worker.stop(deadline=30) == 0
    risk_api.control(mode="ok")
    start_worker()
    settle(worker_environ, len(lines))
    assert audited(worker_environ)["orders"] == 40
