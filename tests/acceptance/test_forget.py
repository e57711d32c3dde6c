"""A customer's data removed: rows, statuses, letters; the books stay clean, and a repeat brings nothing back."""

import re
from uuid import UUID, uuid4

from creditstream.dev.programs import RiskApiProcess
from creditstream.dev.wait import wait_for
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, decode_status
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Record, Topics
from tests.support.product import audited, faust, order_line, settle

_GONE, _OTHER = "c-gone", "c-gone-too"
_NAMED = re.compile(rb"c-gone(?!-)")
_UNDECIDED = "SELECT count(*) FROM orders WHERE status = 'under_review' AND reason <> 'risk_refused'"


def naming(records: list[Record]) -> list[Record]:
    """Those with the forgotten customer's id anywhere in them."""
    return [each for each in records if _NAMED.search(b"|".join((each.key or b"", each.value or b"")))]


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
    done = faust(worker_environ, "forget", "--customer", _GONE, "--by", "ana")
    assert done.returncode == 0 and "6 orders anonymised, 3 dead letters blanked" in done.stdout, done

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
    assert "0 dead letters" in faust(worker_environ, "dlq", "replay", "--reason", "risk_refused").stdout
    assert not naming(topics.consume_all("orders-dead-letter"))
    assert database.fetch(rows, (FORGOTTEN, FORGOTTEN_CUSTOMER)) == [(6, True, True)]
    audited(worker_environ)
