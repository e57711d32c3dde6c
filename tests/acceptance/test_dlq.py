"""Operators look at dead letters and send them again: real workers, the real command, and the books afterwards."""

import itertools
import os
import re
import subprocess
from urllib.error import HTTPError
from uuid import uuid4

import msgspec
import pytest

from devtools.programs import RiskApiProcess, clean_environ, faust_command, http
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, faust, order_line, settle

_REFUSED = 60
_MANY = 10_000
_STATES = "SELECT status <> 'under_review', version, count(*) FROM orders GROUP BY 1, 2"


def dlq(environ: dict[str, str], *arguments: str) -> str:
    """What the command prints."""
    done = faust(environ, "dlq", *arguments)
    assert done.returncode == 0, done
    return done.stdout


def test_refused_orders_are_listed_shown_and_replayed_and_a_second_replay_changes_nothing(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(next=[{"status": 422}] * _REFUSED)
    start_worker(under_review_after=300)  # an order that waited would have one version more
    ids = [str(uuid4()) for _ in range(_REFUSED)]
    lines = [order_line(order_id, customer_id="c-secret") for order_id in ids]
    topics.produce("orders", [(b"mine", line.encode()) for line in lines])
    settle(worker_environ, len(lines))

    listed = msgspec.json.decode(dlq(worker_environ, "list", "--json"))
    assert (listed["count"], listed["reasons"]) == (_REFUSED, {"risk_refused": _REFUSED})
    shown = dlq(worker_environ, "show", "--order-id", ids[0])
    assert ids[0] in shown and "c-secret" not in shown and "1500" not in shown
    assert "c-secret" in dlq(worker_environ, "show", "--order-id", ids[0], "--unmasked")
    assert f"{_REFUSED} dead letters would be" in dlq(worker_environ, "replay", "--all", "--dry-run")
    assert topics.consume_all("orders-retry") == []
    assert faust(worker_environ, "dlq", "replay").returncode == 2, "all of them only when asked for"
    finds_nothing_and_says_so(worker_environ)
    assert topics.consume_all("orders-retry") == []

    assert "1 dead letters sent again" in dlq(worker_environ, "replay", "--order-id", ids[0], "--by", "ana")
    [sent] = topics.consume_all("orders-retry")
    headers = dict(sent.headers)
    assert (sent.key, sent.value) == (ids[0].encode(), lines[0].encode())
    assert (headers["x-original-key"], headers["x-replayed-by"]) == (b"mine", b"ana")
    assert re.fullmatch(rb".*orders:\d:\d+", headers["x-replay-of"] or b"")
    dlq(worker_environ, "replay", "--reason", "risk_refused")
    decided = [(True, 2, _REFUSED)]
    wait_for(lambda: database.fetch(_STATES) == decided, 60, "all are decided, once, in version 2")
    assert risk_api.journal()["calls"] == 2 * _REFUSED
    audited(worker_environ)

    published = len(topics.consume_all("order-status"))
    dlq(worker_environ, "replay", "--all")
    again = published + _REFUSED
    wait_for(lambda: len(topics.consume_all("order-status")) >= again, 60, "the second replay went its way")
    assert database.fetch(_STATES) == decided
    assert risk_api.journal()["calls"] == 2 * _REFUSED, "a decided order costs no further call"
    report = audited(worker_environ)
    assert (report["orders"], report["duplicates"]) == (_REFUSED, 0)


def finds_nothing_and_says_so(environ: dict[str, str]) -> None:
    """Of letters that are all `risk_refused`. A list of nothing is a list; the others have not done what was asked."""
    nothing = ("--reason nonsense", "the reason nonsense"), ("--partition 99", "no dead letter matches")
    actions = (0, "list --json"), (1, "show"), (1, "replay"), (1, "replay --dry-run")
    for (code, action), (given, said) in zip(actions, itertools.cycle(nothing)):
        done = faust(environ, "dlq", *f"{action} {given}".split())
        [line] = done.stderr.splitlines()
        assert done.returncode == code, done
        assert said in line and f"there are {_REFUSED}: risk_refused {_REFUSED}; from " in line
    both = faust(environ, "dlq", "replay", "--dry-run", "--reason", "risk_refused", "--reason", "typo")
    assert (both.returncode, both.stdout.split("\n")[0]) == (1, f"{_REFUSED} dead letters would be sent again")
    assert "no dead letter has the reason typo" in both.stderr


def test_ten_thousand_letters_whose_cause_was_repaired_are_all_decided_once(
    start_worker: StartWorker,
    topics: Topics,
    database: Database,
    risk_api: RiskApiProcess,
    worker_environ: dict[str, str],
) -> None:
    risk_api.control(next=[{"status": 422}] * _MANY)
    worker_environ |= {"CREDITSTREAM_DEAD_LETTER_LIMIT": "0", "CREDITSTREAM_UNDER_REVIEW_AFTER": "300"}
    start_worker()
    topics.produce("orders", [(None, order_line(uuid4()).encode()) for _ in range(_MANY)])
    settle(worker_environ, _MANY)
    assert f"{_MANY:,} dead letters sent again" in dlq(worker_environ, "replay", "--reason", "risk_refused")
    decided = [(True, 2, _MANY)]
    wait_for(lambda: database.fetch(_STATES) == decided, 120, "all are decided, once, in version 2")
    wait_for(lambda: topics.written("order-status") == 2 * _MANY, 120, "and published")
    assert f"{_MANY:,} dead letters sent again" in dlq(worker_environ, "replay", "--all")
    wait_for(lambda: topics.written("order-status") == 3 * _MANY, 120, "the second replay went its way")
    assert database.fetch(_STATES) == decided
    journal = risk_api.journal()
    assert (journal["calls"], journal["keys"], journal["max_calls_per_key"]) == (2 * _MANY, _MANY, 2)
    report = audited(worker_environ)
    assert (report["orders"], report["duplicates"]) == (_MANY, 0)


def test_a_record_that_a_new_version_understands_becomes_a_row(
    start_worker: StartWorker, topics: Topics, database: Database, worker_environ: dict[str, str]
) -> None:
    old = start_worker(order_max_bytes=1_024)
    large = order_line(uuid4(), metadata={"note": "x" * 2_000}).encode()
    topics.produce("orders", [(None, large), (None, b"never an order"), (b"k", None)])
    settle(worker_environ, 3)
    assert old.stop() == 0
    start_worker()
    dlq(worker_environ, "replay", "--all")
    settle(worker_environ, 6)
    assert database.fetch("SELECT count(*) FROM orders WHERE status <> 'under_review'") == [(1,)]
    dlq(worker_environ, "replay", "--all")
    settle(worker_environ, 9)
    listed = msgspec.json.decode(dlq(worker_environ, "list", "--json"))
    assert listed["reasons"] == {"empty": 1, "not_json": 1, "too_large": 1}, "a letter sent in vain is still one"
    report = audited(worker_environ)
    assert report["orders"] == 1
    assert database.fetch("SELECT count(*) FROM orders") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--since", "yesterday"), "--since yesterday"),
        (("replay", "--all", "--limit", "5"), "--limit is for list and show"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = faust({"CREDITSTREAM_KAFKA_BROKERS": "127.0.0.1:1", "CREDITSTREAM_START_TIMEOUT": "0"}, "dlq", *arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line


def test_too_many_letters_stop_the_intake_and_say_so(
    start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str]
) -> None:
    worker = start_worker(dead_letter_limit=20, dead_letter_window=2)
    topics.produce("orders", [(None, b"a bad deploy")] * 100, partition=0)
    wait_for(lambda: "became dead letters" in readiness(worker.url), what="readiness fails and says why")
    assert 20 <= len(topics.consume_all("orders-dead-letter")) < 100
    settle(worker_environ, 100)  # each window lets twenty more through
    assert len(topics.consume_all("orders-dead-letter")) == 100


def readiness(url: str) -> str:
    """The problems that the worker tells."""
    try:
        return str(http(f"{url}/health/ready"))
    except HTTPError as error:
        return error.read().decode()


def test_the_memory_of_a_listing_does_not_grow_with_the_letters(topics: Topics, worker_environ: dict[str, str]) -> None:
    few, many = 40_000, 100_000  # fewer fit into what is fetched ahead, which is bounded
    letters = ((None, order_line(uuid4()).encode()) for _ in range(many))
    topics.produce("orders-dead-letter", itertools.islice(letters, few))
    small = listed_in(worker_environ, few)
    topics.produce("orders-dead-letter", letters)
    # Kept, each of the further letters would cost more than 400 bytes: 20 MB.
    assert listed_in(worker_environ, many) - small < 12_000_000


def listed_in(environ: dict[str, str], count: int) -> int:
    """The most bytes of memory that `dlq list` used at a time."""
    command = faust_command("dlq", "list", "--json", "--limit", "1")
    with subprocess.Popen(command, env=clean_environ(environ), stdout=subprocess.PIPE) as listing:
        assert listing.stdout
        told = msgspec.json.decode(listing.stdout.read())
        _, status, used = os.wait4(listing.pid, 0)
        listing.returncode = os.waitstatus_to_exitcode(status)
    assert (listing.returncode, told["count"], len(told["letters"])) == (0, count, 1)
    return used.ru_maxrss * 1024
