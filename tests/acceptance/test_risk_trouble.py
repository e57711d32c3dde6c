"""Orders that the risk API does not score: shown under review, tried again, or handed to people."""

from uuid import uuid4

from devtools.programs import RiskApiProcess
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, order_line, settle

_STATE = "SELECT status, reason, version FROM orders WHERE order_id = %s"


def test_an_order_that_waits_is_shown_under_review_and_updated_when_decided(
    start_worker: StartWorker, topics: Topics, database: Database, risk_api: RiskApiProcess
) -> None:
    risk_api.control(mode="hang")
    start_worker(risk_deadline=300, risk_attempt_timeout=1)
    order_id = str(uuid4())
    topics.produce("orders", [(None, order_line(order_id).encode())])
    wait_for(lambda: database.fetch(_STATE, (order_id,)) == [("under_review", "waiting_for_risk", 1)], what="shown")
    risk_api.control(mode="ok")
    wait_for(lambda: database.fetch(_STATE, (order_id,))[0][::2] in (("approved", 2), ("rejected", 2)), what="decided")
    versions = [record.value for record in topics.consume_all("order-status")]
    assert len(versions) == 2


def test_while_the_risk_api_is_down_orders_are_parked_and_later_decided(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(error_rate=1.0)
    start_worker(risk_deadline=1, risk_attempt_timeout=0.5, retry_delay=2)
    ids = [str(uuid4()) for _ in range(20)]
    topics.produce("orders", [(None, order_line(order_id).encode()) for order_id in ids])
    settle(worker_environ, len(ids))
    assert database.fetch("SELECT DISTINCT status FROM orders") == [("under_review",)]
    assert len(topics.consume_all("orders-retry")) >= len(ids)
    risk_api.control(error_rate=0.0)
    decided = "SELECT count(*) FROM orders WHERE status <> 'under_review'"
    wait_for(lambda: database.fetch(decided) == [(len(ids),)], 60, "all are decided")
    assert audited(worker_environ)["orders"] == len(ids)


def test_an_order_that_is_refused_for_good_stays_under_review_with_a_letter(
    start_worker: StartWorker, topics: Topics, database: Database, worker_environ: dict[str, str]
) -> None:
    start_worker()
    order_id = str(uuid4())
    topics.produce("orders", [(None, order_line(order_id, customer_id="refuse-1").encode())])
    settle(worker_environ, 1)
    assert database.fetch(_STATE, (order_id,)) == [("under_review", "risk_refused", 1)]
    [letter] = topics.consume_all("orders-dead-letter")
    assert dict(letter.headers)["x-error-class"] == b"risk_refused"
    assert audited(worker_environ)["dead_letters"] == {"risk_refused": 1}
