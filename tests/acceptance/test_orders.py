"""Two real workers, the real kafka-console-producer, and what a user finds afterwards."""

from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from creditstream.simulation.mix import make_mix
from creditstream.simulation.risk_simulator import score_for
from devtools.programs import RiskApiProcess, http
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, counted, order_line, settle


def test_every_line_that_is_typed_has_one_outcome(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, risk_api: RiskApiProcess
) -> None:
    lines = make_mix(1_000, 60, 20, 37, seed=11)
    workers = [start_worker(), start_worker()]
    topics.produce_lines("orders", [line.value for line in lines])
    settle(worker_environ, len(lines))
    report, sent = audited(worker_environ), counted(lines)
    assert (report["orders"], report["duplicates"], report["conflicts"]) == (1_000, 60, 20)
    assert sum(report["dead_letters"].values()) == sent["conflict"] + sent["malformed"]
    assert report["under_review"] == 0
    assert risk_api.journal()["calls"] == 1_000, "each order costs one call at the bureau, duplicates none"
    assert all(worker.exit_code is None for worker in workers)


def test_a_typed_order_shows_on_the_page_in_the_view_and_on_the_topic(
    start_worker: StartWorker, topics: Topics, database: Database
) -> None:
    workers = [start_worker(), start_worker()]
    order_id = uuid4()
    topics.produce_lines("orders", [order_line(order_id)])
    rows = wait_for(
        lambda: database.fetch(
            'SELECT "ID_Cliente", "Status_Pedido", "Detalhes_do_Pedido", "Resultado_Avaliacao" FROM pedidos '
            'WHERE "ID_Pedido" = %s AND "Status_Pedido" <> %s',
            (str(order_id), "Em análise"),
        ),
        what="the order is decided",
    )
    [(customer, status, details, result)] = rows
    assert customer == "c-102"
    assert status in ("Aprovado", "Reprovado")
    assert details["produto"] == "personal_loan"
    assert result["score"] == score_for(order_id)
    shown = [published(worker, order_id) for worker in workers]
    assert shown[0] == shown[1], "any worker answers, whoever owns the order's partition"
    assert shown[0]["score"] == score_for(order_id)
    database.wait_for_replica()
    wait_for(lambda: all(listed(worker, order_id) for worker in workers), what="the lists show the order")
    records = [record for record in topics.consume_all("order-status") if record.key == str(order_id).encode()]
    assert len(records) == 1


def listed(worker: Any, order_id: object) -> bool:
    return any(order["order_id"] == str(order_id) for order in worker.get("/orders")["orders"])


def published(worker: Any, order_id: object) -> dict[str, Any]:
    """The order as that worker's web server gives it."""

    def ask() -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = http(f"{worker.url}/orders/{order_id}")
        except OSError:
            return None
        return answer

    answer = wait_for(ask, what="the worker knows the order")
    assert answer is not None
    return answer


def test_faust_pages_that_show_data_are_closed_and_unknown_orders_are_not_found(start_worker: StartWorker) -> None:
    worker = start_worker()
    for path, status in (("/table/", 404), ("/router/", 404), (f"/orders/{uuid4()}", 404), ("/orders/x", 400)):
        with pytest.raises(HTTPError) as error:
            http(worker.url + path)
        assert error.value.code == status, path
    assert http(worker.url + "/health/live") == {"status": "live"}


def test_an_empty_disk_is_recovered_from_kafka(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str], risk_api: RiskApiProcess
) -> None:
    ids = [uuid4() for _ in range(50)]
    lines = [order_line(order_id) for order_id in ids]
    first = start_worker()
    topics.send_lines("orders", lines)
    settle(worker_environ, len(lines))
    assert first.stop() == 0
    second = start_worker()  # has a data directory of its own: an empty one
    topics.send_lines("orders", lines)
    settle(worker_environ, 2 * len(lines))
    assert audited(worker_environ)["duplicates"] == len(lines)
    assert risk_api.journal()["calls"] == len(lines)
    assert published(second, ids[0])["order_id"] == str(ids[0])
