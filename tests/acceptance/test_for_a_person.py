"""Orders that nobody can score wait for a person, delay nobody else, and are tried again when somebody says so."""

import random
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from uuid import uuid4

from devtools.programs import RiskApiProcess, Worker, http
from devtools.wait import wait_for
from schemas.decision import FOR_A_PERSON
from tests.acceptance.test_dlq import dlq
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, settle

_WITHOUT_FILE, _OTHERS = 60, 200
_STATES = (
    "SELECT CASE status WHEN 'under_review' THEN reason ELSE 'decided' END, version, count(*) FROM orders GROUP BY 1, 2"
)
#: One customer of each kind: what the simulated API does with them, or the policy.
_EACH = {
    "risk_refused": {"customer_id": "refuse-1"},
    "no_usable_answer": {"customer_id": "nofile-1"},
    "unknown_product": {"product": "yacht", "amount": "999999999999.99"},
    "attempts_exhausted": {"customer_id": "down-1"},
}
#: The first failure is the last: an order is given up when its next turn would be later than this.
_AT_ONCE = {"retry_max_age": 0.001, "risk_deadline": 1, "risk_attempt_timeout": 0.5, "under_review_after": 300}


def states(database: Database) -> Counter[tuple[str, int]]:
    return Counter({(state, version): count for state, version, count in database.fetch(_STATES)})


def reasons(topics: Topics) -> Counter[str]:
    """Of the dead letters, each origin once."""
    headers = [dict(letter.headers) for letter in topics.consume_all("orders-dead-letter")]
    origins = {(each["x-original-partition"], each["x-original-offset"]): each["x-error-class"] for each in headers}
    return Counter((reason or b"").decode() for reason in origins.values())


def test_customers_without_a_file_wait_for_a_person_and_the_others_go_on(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    ids = [str(uuid4()) for _ in range(_WITHOUT_FILE + _OTHERS)]
    risk_api.control(orders={order_id: [{"mode": "no_file"}] for order_id in ids[:_WITHOUT_FILE]})
    worker = start_worker(under_review_after=300, dead_letter_limit=10)
    lines = [(None, order_line(order_id).encode()) for order_id in random.Random(1).sample(ids, len(ids))]
    topics.produce("orders", lines)
    settle(worker_environ, len(ids))
    assert states(database) == {("decided", 1): _OTHERS, ("no_usable_answer", 1): _WITHOUT_FILE}
    assert database.fetch("SELECT DISTINCT reasons, score FROM orders WHERE status = 'under_review'") == [
        (["no_file"], None)
    ]
    assert "circuit open" not in worker.log() and worker.get("/health/ready")["status"] == "ready"
    assert risk_api.journal()["calls"] == len(ids), "nobody is asked twice"
    assert topics.consume_all("orders-retry") == []
    assert audited(worker_environ)["dead_letters"] == {"no_usable_answer": _WITHOUT_FILE}

    said = dlq(worker_environ, "replay", "--reason", "no_usable_answer")
    assert f"{_WITHOUT_FILE} dead letters sent again" in said
    decided = {("decided", 1): _OTHERS, ("decided", 2): _WITHOUT_FILE}
    wait_for(lambda: states(database) == decided, 60, "the bureau has files now")
    published = len(ids) + _WITHOUT_FILE
    wait_for(lambda: topics.written("order-status") == published, 60, "and that is published")
    assert risk_api.journal()["calls"] == len(ids) + _WITHOUT_FILE
    dlq(worker_environ, "replay", "--reason", "no_usable_answer")
    wait_for(lambda: topics.written("order-status") == published + _WITHOUT_FILE, 60, "sent once more")
    assert states(database) == decided
    assert risk_api.journal()["calls"] == len(ids) + _WITHOUT_FILE
    audited(worker_environ)


def test_each_outcome_is_settled_and_a_new_policy_and_a_replay_are_the_way_on(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
    tmp_path: Path,
) -> None:
    worker = start_worker(name="one", **_AT_ONCE)
    sent = [(None, order_line(uuid4(), **fields).encode()) for fields in _EACH.values()]
    topics.produce("orders", sent)
    settle(worker_environ, len(sent))
    assert states(database) == {(reason, 1): 1 for reason in FOR_A_PERSON}
    assert reasons(topics) == dict.fromkeys(FOR_A_PERSON, 1)
    assert audited(worker_environ)["dead_letters"] == dict.fromkeys(FOR_A_PERSON, 1)
    keys = http(f"{risk_api.url}/journal?full=1")
    topics.produce("orders", sent)
    settle(worker_environ, 2 * len(sent))
    assert http(f"{risk_api.url}/journal?full=1") == keys and len(keys) == 3, "a repeat asks nobody"
    done = faust(worker_environ, "forget", "--customer", "nofile-1", "--dry-run")
    assert done.returncode == 0 and "1 orders" in done.stdout, done

    assert worker.stop() == 0
    policy = tmp_path / "policy.toml"
    policy.write_text('version = "new"\n[products.yacht]\napprove_from = 0\nmax_amount = inf\n')
    start_worker(name="one", policy_file=policy, **_AT_ONCE)
    dlq(worker_environ, "replay", "--reason", "unknown_product", "--reason", "risk_refused")
    expected = {("decided", 2): 1, ("unknown_product", 2): 1, ("no_usable_answer", 1): 1, ("attempts_exhausted", 1): 1}
    wait_for(lambda: states(database) == expected, 60, "decided; and by this policy the other product is unknown")
    assert database.fetch("SELECT policy_version, status FROM orders WHERE product = 'yacht'") == [("new", "approved")]
    wait_for(lambda: topics.written("order-status") == len(sent) + 2, 60, "and published")
    assert audited(worker_environ)["under_review"] == 3


def test_when_most_answers_are_unusable_intake_stops_and_goes_on_when_they_are_good(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(mode="no_file")
    worker = start_worker(risk_breaker_window=5, max_in_flight=60)
    total = 600
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(total)])
    wait_for(lambda: "had no usable score: intake is stopped for 5 s" in _problem(worker), what="it is not ready")
    assert 'creditstream_intake_stopped_state{reason="unusable_answers"} 1' in _metrics(worker)
    risk_api.control(mode="ok")
    [(taken,)] = database.fetch("SELECT count(*) FROM orders")
    assert taken < total, "the rest waits in Kafka"
    settle(worker_environ, total)
    wait_for(lambda: not _problem(worker), what="it is ready again")
    found = states(database)
    assert sum(count for (state, _), count in found.items() if state == "decided") >= total / 2
    assert {state for state, _ in found} == {"decided", "no_usable_answer"}
    assert "circuit open" not in worker.log()
    audited(worker_environ)


def _problem(worker: Worker) -> str:
    """Why it is not ready; empty when it is."""
    try:
        worker.get("/health/ready")
    except HTTPError as error:
        return error.read().decode()
    return ""


def _metrics(worker: Worker) -> str:
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
