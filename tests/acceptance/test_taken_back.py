"""PostgreSQL comes back older than what was published: nobody goes on by it until `restore` has run."""

import re
from collections.abc import Iterator
from urllib.error import HTTPError
from uuid import UUID, uuid4

import pytest

from creditstream.order.home_partition import home_partition
from devtools.programs import Worker, faust_command, http
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.past import Past
from tests.support.product import audited, faust, order_line, run_to_end, settle
from tests.support.servers import Servers

_ROWS = "SELECT order_id::text, status, score, version, updated_at::text FROM orders ORDER BY 1"
_TAKEN_BACK = "PostgreSQL is older than what was published"


@pytest.fixture
def past(stack: Servers, database: Database) -> Iterator[Past]:
    past = Past(stack, database)
    yield past
    past.remove()


def ready(worker: Worker) -> str:
    """What /health/ready says."""
    try:
        return str(http(f"{worker.url}/health/ready"))
    except HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def stands_still(worker: Worker) -> None:
    wait_for(lambda: _TAKEN_BACK in ready(worker), 60, "the worker says what happened")


def test_a_worker_that_meets_an_older_database_stands_still_until_restore_has_run(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database, past: Past
) -> None:
    worker = start_worker()
    first, second = [uuid4() for _ in range(5)], [uuid4() for _ in range(5)]
    topics.send_lines("orders", [order_line(each) for each in first])
    settle(worker_environ, 5)
    past.keep()
    topics.send_lines("orders", [order_line(each, metadata={"channel": "app"}) for each in second])
    settle(worker_environ, 10)
    before = database.fetch(_ROWS)
    past.come_back()
    late = uuid4()
    topics.send_lines("orders", [order_line(late)])
    stands_still(worker)
    assert len(database.fetch(_ROWS)) == 5, "nothing is committed where commits are missing"
    forget = run_to_end(worker_environ, faust_command("forget"), given="c-lost\n")
    assert forget.returncode == 2 and _TAKEN_BACK in forget.stderr, "what is lost now comes back"

    dry = faust(worker_environ, "restore", "--dry-run")
    assert dry.returncode == 0 and "would restore 5 orders" in dry.stdout, dry
    assert len(database.fetch(_ROWS)) == 5
    done = faust(worker_environ, "restore")
    assert done.returncode == 0 and "5 orders restored" in done.stdout, done
    worker.wait_until_ready()
    settle(worker_environ, 11)
    after = {row[0]: row for row in database.fetch(_ROWS)}
    assert [after[row[0]] for row in before] == before, "as they were published"
    assert after[str(late)]
    assert database.fetch('SELECT count(*) FROM orders WHERE metadata = \'{"channel": "app"}\'') == [(5,)]
    audited(worker_environ)


def test_a_worker_that_starts_on_an_older_database_stands_still(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database, past: Past
) -> None:
    past.keep()
    worker = start_worker()
    order_id: UUID = uuid4()
    topics.send_lines("orders", [order_line(order_id)])
    settle(worker_environ, 1)
    assert worker.stop() == 0
    past.come_back()
    worker = start_worker(ready=False)
    stands_still(worker)
    topics.send_lines("orders", [order_line(order_id)])
    assert faust(worker_environ, "restore").returncode == 0
    worker.wait_until_ready()
    settle(worker_environ, 2)
    assert len(database.fetch(_ROWS)) == 1
    audited(worker_environ)


def test_what_a_worker_that_is_gone_has_published_is_missed_by_whoever_has_its_partitions(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database, past: Past
) -> None:
    stays, goes = start_worker(), start_worker()
    wait_for(lambda: all(_at_work_on(each) for each in (stays, goes)), 60, "both have partitions")
    own = _at_work_on(goes)
    before, lost = [uuid4() for _ in range(20)], next(each for each in iter(uuid4, None) if _home(each, topics) in own)
    topics.send_lines("orders", [order_line(each) for each in before])
    settle(worker_environ, 20)
    past.keep()
    topics.produce("orders", [(None, order_line(lost).encode())], _home(lost, topics))
    settle(worker_environ, 21)
    assert goes.stop() == 0
    for _ in range(2):  # the second time nothing was committed since
        past.come_back()
        stands_still(stays)
        assert faust(worker_environ, "restore").returncode == 0
        stays.wait_until_ready()
    assert len(database.fetch(_ROWS)) == 21
    audited(worker_environ)


def _home(order_id: UUID, topics: Topics) -> int:
    return home_partition(order_id, topics.partitions)


def _at_work_on(worker: Worker) -> set[int]:
    """Some of the partitions: both workers are in the group."""
    told = re.findall(r"at work on partitions \[([0-9, ]+)\]", worker.log())
    owned = {int(each) for each in told[-1].split(",")} if told else set()
    return owned if len(owned) < 4 else set()
