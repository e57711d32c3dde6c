"""A customer's data removed: rows, statuses, letters; the books stay clean, and a repeat brings nothing back."""

import asyncio
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from creditstream.config.load import load_settings
from creditstream.operations.forget.behind import records_behind
from creditstream.operations.forget.command import warn
from devtools.programs import RiskApiProcess, faust_command
from devtools.wait import wait_for
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, decode_status
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, run_to_end, settle
from tests.support.topic_reading import Record

_GONE, _OTHER = "c-gone", "c-gone-too"
_NAMED = re.compile(rb"c-gone(?!-)")
_UNDECIDED = "SELECT count(*) FROM orders WHERE status = 'under_review' AND reason <> 'risk_refused'"


def naming(records: list[Record]) -> list[Record]:
    """Those with the forgotten customer's id anywhere in them."""
    return [each for each in records if _NAMED.search(b"|".join((each.key or b"", each.value or b"")))]


def forget(environ: dict[str, str], customer: str, *options: str) -> subprocess.CompletedProcess[str]:
    """With the id on standard input alone."""
    return run_to_end(environ, faust_command("forget", *options), given=f"{customer}\n")


def finds_nothing_and_says_so(environ: dict[str, str], database: Database, customer: str, *options: str) -> None:
    """And leaves no trace of a request."""
    before = database.fetch("SELECT count(*) FROM forget_requests")
    done = forget(environ, customer, *options)
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "nothing of this customer is there" in line and customer not in line
    assert database.fetch("SELECT count(*) FROM forget_requests") == before


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("", [], "is empty"),
        ("c-1\nc-2\n", [], "more than one line"),
        ("c-1", ["--customer", ""], "is empty"),
        ("c-1", ["--customer", "c" * 65], "more than 64 characters"),
    ],
)
def test_what_is_no_customers_id_is_one_line(given: str, options: list[str], said: str) -> None:
    nowhere = {"CREDITSTREAM_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/none"}
    done = run_to_end(nowhere, faust_command("forget", *options), given=given)
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert said in line


def test_a_customer_is_forgotten(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
) -> None:
    worker = start_worker()
    refused, *mine = [uuid4() for _ in range(6)]
    other = uuid4()
    risk_api.control(next=[{"status": 422}])
    first = order_line(refused, customer_id=_GONE, metadata={"phone": "5511"})
    topics.produce("orders", [(b"c-gone", first.encode())])
    settle(worker_environ, 1)
    lines = [order_line(each, customer_id=_GONE, metadata={"phone": "5511"}) for each in mine]
    lines += [order_line(other, customer_id=_OTHER), order_line(other, customer_id=_OTHER, amount="1.00")]
    lines += [order_line(mine[0], customer_id=_GONE, amount="1.00"), '{"customer_id": "c-gone", broken']
    topics.produce("orders", [(None, line.encode()) for line in lines])
    settle(worker_environ, 10)
    wait_for(lambda: database.fetch(_UNDECIDED) == [(0,)], 60, "all are decided")
    assert len(naming(topics.consume_all("orders-dead-letter"))) == 3
    before = {record.key: record.value for record in topics.consume_all("order-status")}

    dry = faust(worker_environ, "forget", "--customer", _GONE, "--dry-run")
    assert dry.stdout.startswith("would anonymise 6 orders and blank 3 dead letters"), dry
    finds_nothing_and_says_so(worker_environ, database, "c-typo", "--customer", "-", "--dry-run")
    done = forget(worker_environ, _GONE, "--by", "ana")
    assert done.returncode == 0 and "6 orders anonymised, 3 dead letters blanked" in done.stdout, done
    assert _GONE not in done.stdout + done.stderr

    rows = "SELECT count(*), bool_and(metadata = '{}'), bool_and(fingerprint = %s) FROM orders WHERE customer_id = %s"
    assert database.fetch(rows, (FORGOTTEN, FORGOTTEN_CUSTOMER)) == [(6, True, True)]
    assert database.fetch("SELECT count(*) FROM order_keys WHERE fingerprint = %s", (FORGOTTEN,)) == [(6,)]
    trace = "SELECT requested_by, orders, letters, finished_at IS NOT NULL FROM forget_requests"
    assert database.fetch(trace) == [("ana", 6, 3, True)]
    letters = topics.consume_all("orders-dead-letter")
    assert not naming(letters) and len(letters) == 4, "the letters are there, without content; the others' untouched"
    assert sum(_OTHER.encode() in (letter.value or b"") for letter in letters) == 1
    last = {record.key: record.value for record in topics.consume_all("order-status")}
    for order_id in (refused, *mine):
        old, new = (decode_status(book[str(order_id).encode()] or b"") for book in (before, last))
        assert (old.customer_id, new.customer_id) == (_GONE, FORGOTTEN_CUSTOMER)
        assert (new.status, new.score, new.version) == (old.status, old.score, old.version + 1)
    assert FORGOTTEN_CUSTOMER in str(worker.get(f"/orders/{mine[0]}"))
    marks = {UUID(bytes=record.key): record.value for record in topics.consume_all("seen-changelog")}
    assert {each for each, mark in marks.items() if mark == FORGOTTEN} == {refused, *mine}
    audited(worker_environ)

    # A repeat brings nothing of the customer back, be it to a worker that remembers or to one that does not.
    topics.produce("orders", [(None, line.encode()) for line in (first, lines[0])])
    settle(worker_environ, 12)
    assert worker.stop() == 0
    start_worker(name="empty disk")
    topics.produce("orders", [(None, line.encode()) for line in (first, lines[0], lines[-2])])
    settle(worker_environ, 15)
    replayed = faust(worker_environ, "dlq", "replay", "--reason", "risk_refused")
    assert replayed.returncode == 1 and "0 dead letters sent again" in replayed.stdout
    assert "1 dead letters match, whose records are not here whole" in replayed.stderr
    finds_nothing_and_says_so(worker_environ, database, _GONE)
    assert not naming(topics.consume_all("orders-dead-letter"))
    assert database.fetch(rows, (FORGOTTEN, FORGOTTEN_CUSTOMER)) == [(6, True, True)]
    audited(worker_environ)


def test_what_a_worker_judged_before_it_knew_leaves_no_letter_that_names_the_customer(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    worker = start_worker()
    order_id = uuid4()
    topics.produce("orders", [(None, order_line(order_id, customer_id=_GONE).encode())])
    settle(worker_environ, 1)
    worker.send(signal.SIGSTOP)
    conflicts = [order_line(order_id, customer_id=_GONE, amount=f"{cents}.00") for cents in range(1, 200)]
    topics.produce("orders", [(None, line.encode()) for line in conflicts])
    with ThreadPoolExecutor(1) as pool:
        forgetting = pool.submit(forget, worker_environ, _GONE)
        wait_for(lambda: topics.consume_all("orders-retry"), 60, "the worker is asked to publish the changed row")
        worker.send(signal.SIGCONT)
        done = forgetting.result()
    assert done.returncode == 0, done
    settle(worker_environ, 200)
    assert not naming(topics.consume_all("orders-dead-letter"))
    finds_nothing_and_says_so(worker_environ, database, _GONE)


def test_records_that_are_not_done_in_time_are_counted(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics
) -> None:
    settings = load_settings(worker_environ)
    assert asyncio.run(records_behind(settings, 0.0)) == 0, "of a group that nobody knows, and topics without records"
    lines = [order_line(uuid4(), customer_id=_OTHER).encode() for _ in range(3)]
    topics.produce("orders", [(None, line) for line in lines])
    assert asyncio.run(records_behind(settings, 0.0)) == 3
    start_worker()
    assert asyncio.run(records_behind(settings, 60.0)) == 0


def test_what_is_left_to_do_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert warn(undecided=0, unpublished=0, behind=0) == 0
    assert capsys.readouterr().out == ""
    assert warn(undecided=0, unpublished=0, behind=7) == 1
    assert capsys.readouterr().out.startswith("7 records came before the workers knew, and are not decided yet")
