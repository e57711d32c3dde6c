"""The simulated risk API's rules."""

import json
from typing import Any
from uuid import UUID

import pytest

from creditstream.risk.messages import encode_request
from creditstream.simulation.risk_api import Simulator, score_for
from creditstream.simulation.risk_http import Answer
from creditstream.simulation.risk_simulator import SLOW
from devtools.fakes import an_order
from schemas.order import Order


def ask(simulator: Simulator, order: Order, **changes: Any) -> Answer:
    body = json.dumps(json.loads(encode_request(order)) | changes).encode()
    return simulator.handle("POST", "/v1/assessments", str(order.order_id), body)


def control(simulator: Simulator, **changes: Any) -> int:
    return simulator.handle("POST", "/control", "", json.dumps(changes).encode()).status


def test_scores_are_known_and_spread() -> None:
    assert score_for(UUID("7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11")) == 847
    scores = [score_for(UUID(int=number)) for number in range(10_000)]
    assert min(scores) < 5 and max(scores) > 995
    assert 480 < sum(scores) / len(scores) < 520


def test_a_repeated_call_has_the_same_answer_whatever_changed() -> None:
    simulator, order = Simulator(), an_order()
    first = ask(simulator, order)
    control(simulator, model_version="simulated-2")
    assert ask(simulator, order) == first
    assert json.loads(ask(simulator, an_order()).body)["model_version"] == "simulated-2"


def test_customers_that_choose_their_outcome() -> None:
    simulator = Simulator(latency_ms=50)
    assert ask(simulator, an_order(customer_id="refuse-1")).status == 422
    assert ask(simulator, an_order(customer_id="down-1")).status == 503
    no_file = ask(simulator, an_order(customer_id="nofile-1"))
    assert (no_file.status, json.loads(no_file.body)["score"]) == (200, None)
    slow = ask(simulator, an_order(customer_id="slow-1"))
    assert (slow.status, slow.wait) == (200, SLOW)
    assert ask(simulator, an_order()).wait == 0.05


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"amount": "0.00"}, 422),
        ({"amount": "NaN"}, 422),
        ({"amount": "many"}, 422),
        ({"term_months": 0}, 422),
        ({"order_id": "x"}, 422),
        ({"created_at": "2026-11-23T12:00:00"}, 422),
        ({"customer_id": ""}, 422),
        ({"more": 1}, 200),
    ],
)
def test_requests_are_validated(changes: dict[str, Any], status: int) -> None:
    assert ask(Simulator(), an_order(), **changes).status == status


def test_a_request_without_json_or_key_is_bad() -> None:
    simulator = Simulator()
    assert simulator.handle("POST", "/v1/assessments", "k", b"{").status == 400
    assert simulator.handle("POST", "/v1/assessments", "", encode_request(an_order())).status == 400
    assert simulator.handle("GET", "/v1/assessments", "", b"").status == 404


def test_the_journal_counts() -> None:
    simulator, order = Simulator(), an_order()
    for _ in range(3):
        ask(simulator, order)
    ask(simulator, order, amount="2.00")
    ask(simulator, an_order(customer_id="down-1"))
    control(simulator, next=[{"mode": "hang"}])
    ask(simulator, an_order())
    assert simulator.journal() == {
        "calls": 6,
        "keys": 3,
        "max_calls_per_key": 4,
        "changed_bodies": 1,
        "statuses": {0: 1, 200: 4, 503: 1},
    }


def test_the_error_rate_is_kept_and_seeded() -> None:
    first, second = (Simulator(error_rate=0.2, seed=3) for _ in range(2))
    orders = [an_order() for _ in range(1_000)]
    statuses = [ask(first, order).status for order in orders]
    assert statuses == [ask(second, order).status for order in orders]
    assert 150 < statuses.count(503) < 250


def test_control_changes_only_what_is_given_and_resets() -> None:
    simulator, order = Simulator(), an_order()
    assert control(simulator, mode="html", latency_ms=20) == 200
    assert ask(simulator, order).content_type == "text/html"
    assert control(simulator, next=[{"status": 500, "retry_after": "7"}]) == 200
    answer = ask(simulator, order)
    assert (answer.status, answer.retry_after) == (500, "7")
    assert control(simulator, mode="ok") == 200
    assert ask(simulator, order).wait == 0.02
    assert control(simulator, reset=True) == 200
    assert ask(simulator, order).wait == 0
    assert simulator.journal()["calls"] == 1


@pytest.mark.parametrize("changes", [{"mode": "odd"}, {"latency_ms": -1}, {"error_rate": 2}, {"unknown": 1}])
def test_a_bad_control_is_refused(changes: dict[str, Any]) -> None:
    assert control(Simulator(), **changes) == 400


def test_scripts_of_an_order_are_for_that_order_only() -> None:
    simulator, one, two = Simulator(), an_order(), an_order()
    control(simulator, orders={str(one.order_id): [{"status": 503}, {"status": 429}]})
    assert ask(simulator, two).status == 200
    assert [ask(simulator, one).status for _ in range(3)] == [503, 429, 200]


def test_the_full_journal_lists_each_keys_calls_and_is_bounded() -> None:
    simulator, order = Simulator(now=lambda: 5.0), an_order()
    control(simulator, next=[{"status": 503}, {"mode": "garbage"}, {"mode": "hang"}])
    for _ in range(60):
        ask(simulator, order)
    journal = simulator.handle("GET", "/journal?full=1", "", b"")
    calls = json.loads(journal.body)[str(order.order_id)]
    score = score_for(order.order_id)
    assert calls[:4] == [[5.0, 503, None], [5.0, 200, None], [5.0, 0, None], [5.0, 200, score]]
    assert len(calls) == 50
    assert simulator.journal()["max_calls_per_key"] == 60


def test_with_rescore_a_second_score_is_another_one() -> None:
    simulator, order = Simulator(), an_order()
    control(simulator, rescore=True)
    scores = [json.loads(ask(simulator, order).body)["score"] for _ in range(3)]
    assert scores[0] == score_for(order.order_id)
    assert len(set(scores)) == 3
    control(simulator, rescore=False)
    assert json.loads(ask(simulator, order).body)["score"] == scores[0]
