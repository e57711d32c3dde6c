"""The JSON API and the live changes of real workers: whole, in order, whichever worker is asked, and who is let in."""

import asyncio
import contextlib
import itertools
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given

from creditstream.config.secret import Secret
from creditstream.order.home_partition import home_partition
from creditstream.store.reads import APPLICATION_NAME
from creditstream.web.access.login import COOKIE, SESSION_SECONDS, Login
from devtools.programs import Worker
from devtools.wait import wait_for
from schemas.status import StatusRecord, encode_status
from tests.conftest import StartWorker
from tests.support.cloned import Template
from tests.support.database import Database
from tests.support.database import ask as ask_database
from tests.support.kafka import Topics
from tests.support.product import order_line, settle
from tests.support.web import Stream, ask, watch

TOKEN = "a-long-enough-token"
NOWHERE = "127.0.0.1:1"
_EXAMPLES = 15
OPENAPI = Path(__file__).resolve().parents[2] / "creditstream" / "web" / "openapi.json"


def two_workers(start_worker: StartWorker, **settings: object) -> list[Worker]:
    workers = [start_worker(ready=False, **settings) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    return workers


def publish(topics: Topics, count: int) -> list[str]:
    """Status records straight on the topic; their order ids."""
    ids = [uuid4() for _ in range(count)]
    records = [(str(order_id).encode(), encode_status(a_status(order_id))) for order_id in ids]
    topics.produce("order-status", records)
    return [str(order_id) for order_id in ids]


def a_status(order_id: UUID) -> StatusRecord:
    now = datetime.now(UTC)
    return StatusRecord(
        order_id=order_id,
        customer_id="c-1",
        amount=Decimal("1.00"),
        term_months=1,
        product="x",
        status="approved",
        score=700,
        reason="score_above_threshold",
        model_version="m",
        policy_version="p",
        created_at=now,
        updated_at=now,
        version=1,
    )


def given(stream: Stream, count: int) -> list[str]:
    """The order ids of the next changes."""
    return [event.data["order_id"] for event in itertools.islice(stream.statuses(), count)]


def dashboard_connections(dsn: str) -> int:
    [(count,)] = ask_database(
        dsn,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
        (APPLICATION_NAME,),
    )
    return int(count)


def test_changes_lists_and_orders(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str], database: Database
) -> None:
    workers = two_workers(start_worker)
    ids = [str(uuid4()) for _ in range(9)]
    now = datetime.now(UTC)
    lines = [
        order_line(order_id, created_at=(now - timedelta(seconds=place)).isoformat(), customer_id=f"c-{place % 3}")
        for place, order_id in enumerate(ids)
    ]
    with Stream(workers[0].url) as first:
        assert next(first.events).data == {"resumed": False}
        topics.send_lines("orders", lines)
        settle(worker_environ, len(lines))
        assert sorted(given(first, 4) + given(first, 5)) == sorted(ids)
        place = first.token
    check_resuming(workers, topics, place)
    database.wait_for_replica()
    check_lists(workers[0], ids)
    check_orders(workers, ids)
    check_strangers(workers[0].url)
    check_openapi(workers[0], ids[0])
    stats = [ask(worker.url + "/stats").json for worker in workers]
    assert all(answer["available"] and sum(answer["today"].values()) >= 1 for answer in stats)
    assert all(answer["worker"]["lag_records"] == 0 for answer in stats)
    if database.replica_dsn != database.dsn:
        assert dashboard_connections(database.replica_dsn) > 0
        assert dashboard_connections(database.dsn) <= 1, "the primary is asked for single orders alone"


def check_resuming(workers: list[Worker], topics: Topics, place: str) -> None:
    """Neither gap nor double, also at another worker; a token of no use is said to be."""
    missed = publish(topics, 30)
    for worker, gzip in itertools.product(workers, (False, True)):
        with Stream(worker.url, place, gzip=gzip) as stream:
            events = stream.events
            assert next(events).data == {"resumed": True}
            got = [event.data["order_id"] for event in itertools.islice(events, 30)]
            assert sorted(got) == sorted(missed)
    for token in ("x", "1.2", "ffffffff.ffffffff.ffffffff.ffffffff"):
        with Stream(workers[0].url, token) as stream:
            assert next(stream.events).data == {"resumed": False}


def check_lists(worker: Worker, ids: list[str]) -> None:
    def listed(**query: object) -> Any:
        answer = ask(f"{worker.url}/orders?{urlencode(query)}")
        assert answer.status == 200, answer
        return answer.json

    def found() -> bool:
        return len(listed(limit=len(ids))["orders"]) == len(ids)

    wait_for(found, 30, "the replica has all orders")
    pages: list[str] = []
    page = listed(limit=4)
    while True:
        pages += [order["order_id"] for order in page["orders"]]
        if page["next"] is None:
            break
        page = listed(limit=4, cursor=page["next"])
    assert pages == ids, "newest first, no order left out or twice"
    mine = listed(customer="c-1")["orders"]
    assert [order["order_id"] for order in mine] == ids[1::3]
    assert "metadata" not in mine[0]
    assert listed(product="nothing")["orders"] == []
    third = mine[0]["created_at"]
    assert listed(to=third)["orders"][0]["order_id"] == ids[2]
    assert len(listed(**{"from": third})["orders"]) == 2
    for bad in (
        "status=done",
        "limit=0",
        "limit=101",
        "cursor=abc",
        "from=soon",
        "colour=blue",
        "limit=1&limit=2",
        "to=",
    ):
        answer = ask(f"{worker.url}/orders?{bad}")
        assert answer.status == 400, bad
        assert "\n" not in answer.json["error"]


def check_orders(workers: list[Worker], ids: list[str]) -> None:
    for order_id in ids[:4]:
        one, two = (ask(f"{worker.url}/orders/{order_id}").json for worker in workers)
        assert one == two
        assert one["available"]
        assert one["reasons"]
        assert one["timeline"][0]["status"] == "received"
        assert one["timeline"][-1]["status"] == one["status"] != "under_review"
    answer = ask(f"{workers[0].url}/orders/{ids[0]}")
    again = ask(f"{workers[0].url}/orders/{ids[0]}", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert "default-src 'none'" in again.headers["Content-Security-Policy"]
    page = ask(f"{workers[0].url}/orders/{ids[0]}", Accept="text/html")
    assert page.headers["Content-Type"].startswith("text/html")
    assert ask(f"{workers[0].url}/orders/{uuid4()}").status == 404
    assert ask(f"{workers[0].url}/orders/x").status == 400
    assert ask(f"{workers[0].url}/static/../views.py").status == 404
    assert ask(f"{workers[0].url}/stats", method="DELETE").status == 405


def check_strangers(url: str) -> None:
    """Another site's name that leads here (DNS rebinding) reads no order."""
    for path in ("/", "/orders", "/events"):
        assert ask(url + path, Host="rebound.example").status == 403, path
    assert ask(url + "/health/live", Host="rebound.example").status == 200


def check_openapi(worker: Worker, known: str) -> None:
    """schemathesis: what the file says and what the worker does agree; nothing that it makes up is a 500."""
    # Here, as below: its imports cost a second, and every process of a run imports this file.
    import schemathesis
    from schemathesis.core.result import Ok

    schema = schemathesis.openapi.from_path(OPENAPI)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            fuzz(operation, mode, worker.url)


def fuzz(operation: Any, mode: Any, url: str) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    if mode.is_negative and not operation.query and not operation.path_parameters:
        return

    @settings(
        max_examples=_EXAMPLES, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @hypothesis_given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # A made-up cursor is no cursor, and is refused although it looks like one.
        case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])

    check()


async def watch_all(url: str, pages: int, changes: int, topics: Topics) -> list[list[str]]:
    joined = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(watch(url, changes, joined, gzip=number % 2 == 0)) for number in range(pages)]
    for _ in tasks:
        await joined.acquire()
    await asyncio.to_thread(publish, topics, changes)
    async with asyncio.timeout(60):
        return await asyncio.gather(*tasks)


def test_every_page_gets_every_change_once_and_a_slow_reader_is_dropped(
    start_worker: StartWorker, topics: Topics
) -> None:
    worker = start_worker()
    shown = asyncio.run(watch_all(worker.url, 50, 300, topics))
    assert len(set(shown[0])) == 300
    assert all(tokens == shown[0] for tokens in shown), "all the same, in the same order"
    with Stream(worker.url, receive=4096) as slow, Stream(worker.url, gzip=True) as quick:
        assert next(slow.events).name == next(quick.events).name == "hello"
        missed = publish(topics, 8_000)
        assert sorted(given(quick, len(missed))) == sorted(missed)
        got = []
        with contextlib.suppress(ConnectionError):  # how an abandoned stream ends is the kernel's choice
            for event in slow.statuses():
                got.append(event.data["order_id"])
                assert len(got) < len(missed), "a page that did not read was kept"
    with Stream(worker.url, slow.token) as again:
        assert next(again.events).data == {"resumed": True}
        got += given(again, len(missed) - len(got))
        assert sorted(got) == sorted(missed)
        assert worker.stop() == 0, "an open page does not hold up a stop"


def test_what_the_replica_has_not_yet_is_asked_of_the_primary(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str], template: Template
) -> None:
    """A database that never has anything stands for a replica that is far behind."""
    with template.cloned() as behind:
        worker = start_worker(postgres_replica_dsn=behind.dsn, redis_url="")
        order_id = uuid4()
        topics.send_lines("orders", [order_line(order_id)])
        settle(worker_environ, 1)
        answer = ask(f"{worker.url}/orders/{order_id}")
        assert answer.status == 200 and answer.json["timeline"][-1]["status"] == answer.json["status"]
        assert ask(f"{worker.url}/orders/{uuid4()}").status == 404
        assert ask(f"{worker.url}/orders").json["orders"] == [], "a list is the replica's"
        counted = ask(f"{worker.url}/metrics").body.decode()
        assert 'creditstream_primary_lookups_total{outcome="found"} 1' in counted
        assert 'creditstream_primary_lookups_total{outcome="none"} 1' in counted


def test_with_a_login_and_without_replica_and_redis(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str], database: Database
) -> None:
    away = {"postgres_replica_dsn": f"postgresql://u:hush@{NOWHERE}/x", "redis_url": f"redis://{NOWHERE}/0"}
    workers = two_workers(start_worker, web_token=TOKEN, **away)
    ids = [uuid4() for _ in range(8)]
    topics.send_lines("orders", [order_line(order_id) for order_id in ids])
    settle(worker_environ, len(ids))
    bearer = f"Bearer {TOKEN}"
    assert len({home_partition(order_id, topics.partitions) for order_id in ids}) > 1
    for worker, order_id in itertools.product(workers, ids):
        answer = ask(f"{worker.url}/orders/{order_id}", Authorization=bearer)
        assert answer.status == 200, "the primary has it"
        assert answer.json["reasons"]
    stats = ask(workers[0].url + "/stats", Authorization=bearer).json
    assert (stats["available"], stats["replica_lag_s"]) == (False, None)
    assert ask(workers[0].url + "/orders", Authorization=bearer).status == 503
    assert dashboard_connections(database.dsn) <= len(workers), "one of each, for orders by their key"
    check_login(workers[0].url)
    check_session_end(workers[1].url)
    assert all(TOKEN not in worker.log() and "hush" not in worker.log() for worker in workers)


def check_login(url: str) -> None:
    for path in ("/stats", "/orders", f"/orders/{uuid4()}", "/events"):
        assert ask(url + path).status == 401, path
    assert ask(url + "/", Accept="text/html").headers["Location"] == "/login"
    assert ask(url + "/health/live").status == ask(url + "/login").status == 200
    right = urlencode({"token": TOKEN}).encode()
    assert ask(url + "/login", right, Origin="http://elsewhere.example").status == 403
    entered = ask(url + "/login", right)
    cookie, _, attributes = entered.headers["Set-Cookie"].partition("; ")
    assert (entered.status, entered.headers["Location"]) == (303, "/")
    assert "HttpOnly" in attributes
    assert "SameSite=Strict" in attributes
    assert ask(url + "/stats", Cookie=cookie).status == 200
    assert ask(url + "/stats", Cookie=cookie[:-1] + ("0" if cookie[-1] != "0" else "1")).status == 401
    assert ask(url + "/logout", b"", Cookie=cookie).headers["Location"] == "/login"
    assert ask(url + "/login", b"token=" + 20_000 * b"x").status == 413
    tries = [ask(url + "/stats", Authorization=f"Bearer {number}").status for number in range(8)]
    assert tries[0] == 401
    assert tries[-1] == 429


def check_session_end(url: str) -> None:
    """A stream that is open when its session ends, ends too; what is asked with that session is refused."""
    ended = Login(Secret(TOKEN)).new_session(time.time() - SESSION_SECONDS + 8)
    cookie = f"{COOKIE}={ended}"
    with Stream(url, cookie=cookie) as stream:
        assert next(stream.events).name == "hello"
        assert "status" not in [event.name for event in stream.events], "it ended by itself"
    assert ask(url + "/stats", Cookie=cookie).status == 401


def test_who_asks_too_often_has_to_wait(start_worker: StartWorker) -> None:
    """One request in ten seconds, one at once; health is always told."""
    worker = start_worker(web_rate=0.1)
    answers = [ask(worker.url + "/login") for _ in range(8)]
    [refused, *_] = [answer for answer in answers if answer.status == 429]
    assert 1 <= int(refused.headers["Retry-After"]) <= 11
    assert "\n" not in refused.json["error"]
    assert ask(worker.url + "/health/live").status == ask(worker.url + "/metrics").status == 200
