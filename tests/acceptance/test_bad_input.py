"""Whatever is put on the topic gets a clear outcome, and the partition goes on."""

from uuid import uuid4

from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, order_line, settle

_ID = str(uuid4())
_DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000


def changed(**changes: object) -> bytes:
    return order_line(uuid4(), **changes).encode()


#: What arrives, and the reason of its dead letter; None: it is an order.
CASES: list[tuple[bytes | None, str | None]] = [
    (None, "empty"),
    (b"", "empty"),
    (b"not json", "not_json"),
    (b"\xff\xfe\x00", "not_utf8"),
    (b"null", "not_an_object"),
    (b"[1]", "not_an_object"),
    (b'{"filler":"' + b"x" * 2_000_000 + b'"}', "too_large"),
    (changed()[:-1] + b',"metadata":' + _DEEP.encode() + b"}", "too_deep"),
    (changed()[:-1] + b',"amount":"2.00"}', "duplicate_key"),
    (b'{"order_id":"' + _ID.encode() + b'"}', "invalid_field"),
    (changed(term_months="twelve"), "invalid_field"),
    (changed(amount="NaN"), "invalid_amount"),
    (changed(amount="-1.00"), "invalid_amount"),
    (changed(amount=0), "invalid_amount"),
    (changed(amount="1e30"), "invalid_amount"),
    (changed(created_at="2026-11-23T12:00:00"), "invalid_field"),
    (changed(created_at="0001-01-01T00:00:00Z"), "invalid_time"),
    (changed(created_at="9999-12-31T23:59:59Z"), "invalid_time"),
    (changed(customer_id="c\x00"), "invalid_text"),
    (changed(created_at="2001-02-03T04:05:06-03:00"), None),  # a month that has no partition yet
    (changed(colour="blue"), None),
    (order_line(_ID.upper()).encode(), None),
    (order_line("{" + _ID + "}").encode(), None),  # the same order again
    (changed(customer_id="'; DROP TABLE orders; --"), None),
]


def test_bad_input_has_its_outcome_and_nothing_is_stuck(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    worker = start_worker()
    placed = topics.produce("orders", [(b"key", value) for value, _ in CASES], partition=2)
    topics.produce("orders", [(None, changed())], partition=2)
    settle(worker_environ, len(CASES) + 1)
    letters = {
        (int(headers["x-original-partition"]), int(headers["x-original-offset"])): (headers, letter)
        for letter in topics.consume_all("orders-dead-letter")
        for headers in [{name: (value or b"").decode() for name, value in letter.headers}]
    }
    for place, (value, reason) in zip(placed, CASES, strict=True):
        case = (value or b"")[:80]
        if reason is None:
            assert place not in letters, case
        else:
            headers, letter = letters[place]
            assert headers["x-error-class"] == reason, case
            assert headers["x-original-topic"] == topics.name("orders")
            assert (letter.key, letter.value) == (b"key", value), case
    report = audited(worker_environ)
    orders = sum(reason is None for _, reason in CASES) - 1  # one of them twice
    assert (report["orders"], report["duplicates"]) == (orders + 1, 1)
    assert database.fetch("SELECT metadata FROM orders WHERE metadata ? 'colour'") == [({"colour": "blue"},)]
    assert worker.exit_code is None


def test_no_personal_data_in_the_log(start_worker: StartWorker, topics: Topics, worker_environ: dict[str, str]) -> None:
    worker = start_worker(log_level="DEBUG")
    lines = [order_line(uuid4(), customer_id="c-secret-529.982.247-25"), "CPF 529.982.247-25 is no order"]
    topics.produce_lines("orders", lines)
    settle(worker_environ, len(lines))
    assert "529.982" not in worker.log()
