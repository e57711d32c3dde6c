"""Records that somebody writes by mistake to the topics that workers keep tables of: workers start, live and decide."""

from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from devtools.programs import answers
from tests.conftest import StartWorker
from tests.corpus.cases import FOLDER, load
from tests.corpus.producers import send
from tests.corpus.shots import by_channel, shots
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import faust, order_line, settle

_ORDERS = 20
#: Nothing tells it from one whose row was lost: a worker that starts stands still (docs/adr/0027-taken-back.md).
_BELIEVED = "a status of an order that nobody knows"
_DECIDED = "SELECT count(*) FROM orders WHERE status <> 'under_review'"


def throw(topics: Topics) -> None:
    cases = [case for case in load(FOLDER / "tables") if case.name != _BELIEVED]
    found = shots(cases, "kafka4", topics.partitions, datetime.now(UTC))
    for channel, some in by_channel(found):
        send(channel, some, topics)


def test_what_strangers_write_to_the_tables_topics_stops_nobody(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    ids = [uuid4() for _ in range(_ORDERS)]
    orders = [(None, order_line(each).encode()) for each in ids]
    throw(topics)
    first = start_worker()
    topics.produce("orders", orders)
    settle(worker_environ, _ORDERS)
    throw(topics)
    topics.produce("orders", orders)
    settle(worker_environ, 2 * _ORDERS)
    first.kill()
    second = start_worker(name="empty disk")
    topics.produce("orders", orders)
    settle(worker_environ, 3 * _ORDERS)
    assert database.fetch(_DECIDED) == [(_ORDERS,)]
    assert all(answers(second.url + path) for path in ("/health/ready", "/health/live", "/", "/stats", "/orders"))
    books = faust(worker_environ, "audit", "--json")
    report = msgspec.json.decode(books.stdout)
    assert books.returncode == 1 and "Traceback" not in books.stderr, books
    told = (report["orders"], report["duplicates"], report["lost"], report["duplicated"], report["dead_letters"])
    assert told == (_ORDERS, 2 * _ORDERS, 0, 0, {})
    assert report["divergent"] > 0 and not any(str(each) in books.stdout for each in ids), report
    done = faust(worker_environ, "forget", "--customer", "c-102")
    assert done.returncode == 0 and f"{_ORDERS} orders anonymised" in done.stdout, done
    assert second.exit_code is None
    second.stop()
    grown = faust(worker_environ, "grow", "--partitions", "6")
    assert grown.returncode == 0 and "Traceback" not in grown.stderr, grown
    start_worker()
    topics.produce("orders", orders)
    settle(worker_environ, 4 * _ORDERS)
    assert database.fetch(_DECIDED) == [(_ORDERS,)]
