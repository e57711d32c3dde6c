"""Dead letters as values: read, filtered, masked, sent again; and the limit on them."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import RiskRefused
from creditstream.operations.dead_letter import Letter, read_letter
from creditstream.operations.dlq.actions import Listing, There
from creditstream.operations.dlq.command import Options, make_filter
from creditstream.operations.dlq.filter import Filter
from creditstream.operations.dlq.render import masked, render_letter, render_listing
from creditstream.operations.dlq.replay import Destinations, send_again
from creditstream.order.dead_letter_limit import DeadLetterLimit
from creditstream.order.record import Record
from tests.unit.pipeline_rig import NOW, Rig, home_of, id_of, order_json, run, scored

TO = Destinations("orders", "orders-retry", 4)
NONE = There(Counter(), Counter())


def record_of(
    value: bytes | None, headers: Any, *, partition: int = 0, offset: int = 0, key: bytes | None = None
) -> Any:
    """As a consumer gives it."""
    return SimpleNamespace(
        topic="orders-dead-letter",
        partition=partition,
        offset=offset,
        timestamp=int(NOW.timestamp() * 1000),
        key=key,
        value=value,
        headers=tuple(headers),
    )


def letter_of(rig: Rig, number: int = -1) -> Letter:
    partition, outgoing = rig.publisher.topics["orders-dead-letter"][number]
    offset = len(rig.publisher.topics["orders-dead-letter"]) - 1
    return read_letter(
        record_of(outgoing.value, outgoing.headers, partition=partition, offset=offset, key=outgoing.key)
    )


def a_letter(value: bytes | None = b"no order", reason: str = "not_json", **changes: str) -> Letter:
    headers = {
        "x-original-topic": "orders",
        "x-original-partition": "1",
        "x-original-offset": "5",
        "x-original-timestamp": "1700000000000",
        "x-error-class": reason,
        "x-last-failed-at": NOW.isoformat(),
        **changes,
    }
    return read_letter(record_of(value, [(name, text.encode()) for name, text in headers.items()]))


def redelivered(rig: Rig, sending: Any, offset: int = 0) -> Record:
    """What was sent again, as a worker gets it."""
    return rig.record(
        sending.record.value,
        topic=sending.topic,
        partition=sending.partition,
        headers=sending.record.headers,
        key=sending.record.key,
        offset=offset,
    )


def test_a_letter_is_read_as_it_was_written_with_the_producers_own_headers_apart() -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(b"no order", offset=3, key=b"k", headers=[("trace", b"\x00\xff")]))
    run(rig.run())
    letter = letter_of(rig)
    assert (letter.topic, letter.original_partition, letter.original_offset) == ("orders", 0, 3)
    assert (letter.reason, letter.key, letter.value) == ("not_json", b"k", b"no order")
    assert letter.headers == (("trace", b"\x00\xff"),)
    assert letter.failed_at == NOW


@pytest.mark.parametrize(
    "damage",
    [
        {"x-original-offset": "x"},
        {"x-original-offset": "-1"},
        {"x-original-partition": "x"},
        {"x-original-partition": "-1"},
        {"x-last-failed-at": "never"},
        {"x-error-class": "\x00"},
    ],
)
def test_damaged_headers_do_not_stop_the_reading(damage: dict[str, Any]) -> None:
    letter = a_letter(**damage)
    assert letter.value == b"no order"
    if damage.keys() & {"x-original-partition", "x-original-offset"}:
        assert (letter.topic, letter.original_partition, letter.original_offset) == ("orders-dead-letter", 0, 0)


def test_a_refused_order_is_scored_again_although_seen_knows_it_and_once_only() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskRefused("422"))
    rig.pipeline.accept(rig.record(value, offset=2, key=b"mine"))
    run(rig.run())
    sending = send_again(letter_of(rig), TO, "ana", NOW)
    assert (sending.topic, sending.partition) == ("orders-retry", home_of(value))
    rig.answer(value, scored(800))
    for offset in range(3):
        rig.accept_retry(redelivered(rig, sending, offset))
        rig.advance(1)
        run(rig.run())
    assert [status["version"] for status in rig.publisher.values("order-status")] == [1, 2, 2, 2]
    assert rig.store.rows[id_of(value)].score == 800
    assert len(rig.risk.calls) == 2, "refused, scored, and then PostgreSQL knows"
    assert len(rig.acknowledged) == 4


def test_an_order_that_is_refused_again_has_a_letter_of_the_same_origin_with_the_trace() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskRefused("422"), RiskRefused("422"))
    rig.pipeline.accept(rig.record(value, offset=2, key=b"mine"))
    run(rig.run())
    first = letter_of(rig)
    rig.accept_retry(redelivered(rig, send_again(first, TO, "ana", NOW)))
    rig.advance(1)
    run(rig.run())
    again = letter_of(rig)
    assert again.identity == first.identity
    assert (again.key, again.original_offset) == (b"mine", 2)
    assert dict(again.headers)["x-replayed-by"] == b"ana"


def test_an_order_whose_age_was_used_up_has_a_new_one() -> None:
    rig, value = Rig(), order_json()
    headers: dict[str, Any] = {"x-attempts": "20", "x-first-failed-at": (NOW - timedelta(days=9)).isoformat()}
    sending = send_again(a_letter(value, "risk_unavailable", **headers), TO, "ana", NOW)
    turn = redelivered(rig, sending).turn
    assert (turn.attempts, turn.first_failed, turn.due) == (1, NOW, NOW)


def test_what_never_became_a_row_is_a_new_record_on_orders() -> None:
    rig = Rig()
    for reason, value in (
        ("not_json", b"x"),
        ("invalid_row", order_json()),
        ("conflict", order_json()),
        ("empty", None),
    ):
        letter = a_letter(value, reason)
        sending = send_again(letter, TO, "ana", NOW)
        assert (sending.topic, sending.partition, sending.record.value) == ("orders", 1, value)
        record = redelivered(rig, sending, 90)
        assert record.origin[:3] == ("orders", 1, 90), "headers on orders claim nothing"
        assert dict(sending.record.headers)["x-replay-of"] == b"orders:1:5"


def test_letters_about_what_was_sent_again_are_about_the_same_record() -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(b"no order", offset=3))
    run(rig.run())
    first = letter_of(rig)
    for offset in (90, 91):
        rig.pipeline.accept(redelivered(rig, send_again(letter_of(rig), TO, "ana", NOW), offset))
        run(rig.run())
        assert letter_of(rig).identity == first.identity
        assert [name for name, _ in letter_of(rig).headers].count("x-replay-of") == 1


def test_a_forged_trace_does_not_hide_another_record() -> None:
    forged: dict[str, Any] = {"x-replay-of": "orders:1:5"}
    assert a_letter(b"other", **forged).identity != a_letter().identity


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"reasons": frozenset({"not_json", "empty"})}, True),
        ({"reasons": frozenset({"empty"})}, False),
        ({"since": NOW}, True),
        ({"since": NOW + timedelta(seconds=1)}, False),
        ({"until": NOW}, False),
        ({"partition": 1, "from_offset": 5, "to_offset": 5}, True),
        ({"from_offset": 6}, False),
        ({"to_offset": 4}, False),
        ({"partition": 0}, False),
        ({"topic": "orders"}, True),
        ({"topic": "other"}, False),
        ({"order_id": uuid4()}, False),
    ],
)
def test_a_filter_takes_what_fulfils_all_of_it(changes: dict[str, Any], taken: bool) -> None:
    assert Filter(**changes).takes(a_letter()) is taken


def test_an_order_is_found_by_its_id_even_in_a_broken_line() -> None:
    order_id = uuid4()
    line = order_json(str(order_id).upper())
    for value in (line, line[:-5]):
        assert Filter(order_id=order_id).takes(a_letter(value))


def test_the_options_make_a_filter() -> None:
    made = make_filter(Options(reasons=("empty",), since="2026-11-24T12:00:00"))
    assert made == Filter(reasons=frozenset({"empty"}), since=datetime(2026, 11, 24, 12, tzinfo=UTC))


def test_nothing_personal_shows_unless_it_is_asked_for() -> None:
    value = order_json(customer_id="529.982.247-25", metadata={"name": "Ana"}, amount="1234.56", nickname="Aninha")
    letter = a_letter(value, "risk_refused", trace="Ana")
    shown = render_letter(letter, unmasked=False)
    order_id = str(id_of(value))
    for secret in ("529", "Ana", "1234", "Aninha"):
        assert secret not in shown.replace(order_id, "")  # an id may have any digits
    assert order_id in shown and "personal_loan" in shown and "trace" in shown
    assert "529.982.247-25" in render_letter(letter, unmasked=True)
    assert "CPF" not in render_letter(a_letter(b"CPF 529.982.247-25"), unmasked=False)
    assert "529" not in masked(json.dumps({"product": {"customer": "529"}, "order_id": "x" * 50 + "529"}).encode())


def test_what_kind_of_order_it_is_shows_as_it_was_written() -> None:
    shown = {"product": "p" * 40, "term_months": 12}
    assert json.loads(masked(json.dumps({**shown, "amount": 12}).encode())) == {**shown, "amount": "***"}


def test_a_terminal_gets_no_control_characters() -> None:
    headers: dict[str, Any] = {"x-error-message": "\x1b]0;x\x07", "\x1bname": "\x1b"}
    letter = a_letter(b"\x1b[2J", "\x1b[31m", **headers)
    text = render_letter(letter, unmasked=True) + render_letter(letter, unmasked=False)
    text += render_listing(Listing(Counter([letter.reason]), [letter], NONE), as_json=False)
    assert "\x1b" not in text and "\x07" not in text


@given(st.binary() | st.none(), st.lists(st.tuples(st.text(), st.binary())))
def test_whatever_stands_on_the_topic_can_be_read_shown_and_sent(value: bytes | None, headers: Any) -> None:
    letter = read_letter(record_of(value, headers))
    render_letter(letter, unmasked=True)
    masked(value)
    sending = send_again(letter, TO, "ana", NOW)
    assert sending.record.value == value
    assert 0 <= sending.partition < TO.partitions
    assert isinstance(letter.order_id, UUID | None)


# -- the limit


def test_letters_in_a_row_stop_the_intake_for_a_window() -> None:
    limit = DeadLetterLimit(3, 1.0, 100.0)
    for letter in (True, True, False, True, True):
        limit.count(letter, 0.0)
    assert not limit.problem(0.0)
    limit.count(True, 0.0)
    assert "3 records in a row" in limit.problem(99.0)
    assert not limit.problem(100.0)
    limit.count(True, 100.0)
    assert not limit.problem(100.0), "it begins anew"


@pytest.mark.parametrize("most", [1, 3])
def test_the_first_record_of_all_counts_for_a_row_too(most: int) -> None:
    limit = DeadLetterLimit(most, 1.0, 100.0)
    for number in range(most):
        assert not limit.problem(0.0), number
        limit.count(True, 0.0)
    assert f"{most} records in a row" in limit.problem(0.0)


def test_a_share_of_letters_stops_the_intake_when_they_are_many() -> None:
    limit = DeadLetterLimit(3, 0.5, 100.0)
    for letter in (True, False, True, False, False, True):
        limit.count(letter, 0.0)
    assert not limit.problem(0.0), "half is not above half"
    limit.count(True, 0.0)
    assert "4 of the last 7" in limit.problem(0.0)


def test_letters_of_long_ago_do_not_count_for_the_share() -> None:
    limit = DeadLetterLimit(3, 0.5, 100.0)
    for now in (0.0, 200.0):
        for letter in (True, False, True):
            limit.count(letter, now)
    assert not limit.problem(200.0)


def test_letters_of_long_ago_do_not_count_however_steadily_records_end() -> None:
    limit = DeadLetterLimit(3, 0.5, 100.0)
    for now, letter in ((0.0, True), (0.0, True), (95.0, False), (104.0, True)):
        limit.count(letter, now)
    assert not limit.problem(104.0), "one of two: those of the beginning are older than the window"


def test_no_limit() -> None:
    limit = DeadLetterLimit(0, 0.5, 100.0)
    for _ in range(1_000):
        limit.count(True, 0.0)
    assert not limit.problem(0.0)


def test_the_pipeline_counts_each_outcome_and_stops() -> None:
    rig, refused, row = Rig(), order_json(), order_json()
    counted: list[bool] = []

    class Counting(DeadLetterLimit):
        def count(self, letter: bool, now: float) -> None:
            counted.append(letter)
            super().count(letter, now)

    rig.brakes._letters = Counting(4, 1.0, 100.0)
    rig.answer(refused, RiskRefused("422"))
    rig.store.refuse([id_of(row)])
    good = order_json()
    for offset, value in enumerate((good, refused, row)):
        rig.pipeline.accept(rig.record(value, offset=offset))
    run(rig.run())
    rig.pipeline.accept(rig.record(good, offset=3))
    run(rig.run())
    assert counted == [False, True, True, False], "a duplicate is no letter"
    for offset in range(4, 7):
        rig.pipeline.accept(rig.record(b"none", offset=offset))
    assert rig.brakes.problems() == []
    rig.pipeline.accept(rig.record(b"none", offset=7))
    assert "4 records in a row" in rig.brakes.problems()[0]

    async def wait_for_room() -> None:
        room = asyncio.ensure_future(rig.pipeline.room())
        await asyncio.sleep(0)
        assert not room.done()
        rig.time += 100.0
        await room

    run(wait_for_room())


def test_a_letters_time_is_of_its_own_zone() -> None:
    told = {"x-last-failed-at": b"2026-11-24T09:00:00-03:00"}
    letter = read_letter(record_of(b"{}", list(told.items())))
    assert letter.failed_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(("later", "taken"), [(1, True), (0, False)])
def test_until_is_the_first_moment_that_is_not_meant(later: int, taken: bool) -> None:
    letter = read_letter(record_of(b"{}", [("x-last-failed-at", NOW.isoformat().encode())]))
    assert Filter(until=NOW + timedelta(seconds=later)).takes(letter) is taken
