"""Outcomes that wait for a person: settled, each with its letter, changed by a deliberate replay alone (ADR 0018)."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.metrics.catalogue import LETTERS, ORDERS_DONE
from creditstream.operations.dead_letter import Letter
from creditstream.operations.dlq.replay import send_again
from creditstream.order.ports import Proposal
from creditstream.order.reopening import Reopens
from creditstream.store.queries import query
from devtools.fakes import FakeStore
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE, WAITING, Decision, unscored, waits_for_person
from schemas.headers import REOPENS
from schemas.order import Order
from schemas.status import FORGOTTEN
from tests.unit.pipeline_rig import NOW, FakePublisher, Rig, home_of, id_of, order_json, run, scored, turns
from tests.unit.test_dlq import TO, a_letter, letter_of, redelivered

EXHAUSTED = RiskUnavailable("down", 1)
UNUSABLE = RiskUnusable("it has no score", ("no_file",), "m-1")


def refused(rig: Rig) -> bytes:
    value = order_json()
    rig.answer(value, RiskRefused("422"))
    return value


def unusable(rig: Rig) -> bytes:
    value = order_json()
    rig.answer(value, UNUSABLE)
    return value


def unknown(rig: Rig) -> bytes:
    return order_json(product="yacht")


Make = Callable[[Rig], bytes]
MAKERS: dict[str, Make] = {"risk_refused": refused, "no_usable_answer": unusable, "unknown_product": unknown}
each = pytest.mark.parametrize("reason", MAKERS)


def state(rig: Rig, value: bytes) -> tuple[str, str, int]:
    row = rig.store.rows[id_of(value)]
    return row.status, row.reason, row.version


def settled(rig: Rig, reason: str) -> bytes:
    value = MAKERS[reason](rig)
    rig.pipeline.accept(rig.record(value, offset=2, key=b"mine"))
    run(rig.run())
    assert state(rig, value) == ("under_review", reason, 1)
    return value


def play_again(rig: Rig, letter: Letter, *, offset: int = 0) -> None:
    """`dlq replay`, and the worker that gets it."""
    rig.accept_retry(redelivered(rig, send_again(letter, TO, "ana", NOW), offset))
    rig.advance(1)
    run(rig.run())


def test_one_list_of_reasons() -> None:
    """What SQL, the catalogue and the page know is compared with it here and in test_products.py."""
    assert set(FOR_A_PERSON) == {"attempts_exhausted", "no_usable_answer", "risk_refused", "unknown_product"}
    told = query("waits_for_person").partition("IN (")[2].partition(")")[0]
    assert [name.strip(" '") for name in told.split(",")] == sorted(FOR_A_PERSON)
    assert f"given.reason <> '{WAITING.reason}'" in query("settle_orders")
    assert set(FOR_A_PERSON) <= set(LETTERS.labels[0].values) & set(ORDERS_DONE.labels[0].values)
    assert not waits_for_person("approved", "risk_refused")
    assert not waits_for_person("under_review", RISK_UNAVAILABLE)


@each
def test_it_has_a_row_a_status_a_letter_and_is_done(reason: str) -> None:
    rig = Rig()
    value = settled(rig, reason)
    (status,) = rig.publisher.values("order-status")
    assert (status["status"], status["reason"], status["score"]) == ("under_review", reason, None)
    assert rig.publisher.reasons() == [reason]
    letter = letter_of(rig)
    assert (letter.key, letter.value, letter.original_offset, letter.row_version) == (b"mine", value, 2, 1)
    assert letter.message == FOR_A_PERSON[reason]
    assert len(rig.acknowledged) == 1
    assert len(rig.risk.calls) == (reason != "unknown_product")


@each
def test_its_letter_is_counted_but_for_answers_without_a_score(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those have a limit of their own."""
    rig, counted = Rig(), list[bool]()
    monkeypatch.setattr(rig.brakes, "ended", lambda *, letter: counted.append(letter))
    settled(rig, reason)
    assert counted == [reason != "no_usable_answer"]


def test_what_can_be_kept_of_an_unusable_answer_is_kept() -> None:
    rig = Rig()
    row = rig.store.rows[id_of(settled(rig, "no_usable_answer"))]
    assert (row.reasons, row.model_version, row.score) == (("no_file",), "m-1", None)


def test_an_order_of_an_unknown_product_waits_for_no_call_of_anothers() -> None:
    rig, value = Rig(), order_json(product="yacht")
    rig.pipeline.accept(rig.record(order_json()))
    rig.pipeline.accept(rig.record(value))
    run(rig.settlement.commit_once())  # no call was made yet, nor will be
    assert state(rig, value) == ("under_review", "unknown_product", 1)
    assert rig.store.rows[id_of(value)].policy_version


@each
@pytest.mark.parametrize("died", ["before the letter", "after the letter"])
def test_a_redelivery_asks_nobody_and_writes_the_letter(reason: str, died: str) -> None:
    store, publisher = FakeStore(), FakePublisher()
    first = Rig(store=store, publisher=publisher)
    value = MAKERS[reason](first)
    first.pipeline.accept(first.record(value, offset=2))
    run(first.run() if died == "after the letter" else _until_committed(first))
    assert publisher.reasons() == [reason] * (died == "after the letter")

    second = Rig(store=store, publisher=publisher)
    second.pipeline.accept(second.record(value, offset=2, replayed=True))
    run(second.run())
    assert state(second, value) == ("under_review", reason, 1)
    assert not second.risk.calls
    assert set(publisher.reasons()) == {reason}
    assert letter_of(second).original_offset == 2
    assert len(second.acknowledged) == 1
    assert second.seen.fingerprint(second.record(value).partition, id_of(value))


async def _until_committed(rig: Rig) -> None:
    await rig.scoring.look_up_once()
    while not rig.scoring._unscored.empty():
        await rig.scoring.score_once()
    await rig.settlement.commit_once()


def test_a_redelivery_after_the_last_turn_has_the_same_letter() -> None:
    store, publisher = FakeStore(), FakePublisher()
    first, value = Rig(store=store, publisher=publisher), order_json()
    first.answer(value, *[EXHAUSTED] * 4)
    first.pipeline.accept(first.record(value, offset=7))
    run(first.run())
    for _ in range(3):
        _, waiting = publisher.topics["orders-retry"][-1]
        first.accept_retry(first.record(value, topic="orders-retry", headers=waiting.headers))
        first.advance(31)
        run(first.run())
    assert state(first, value) == ("under_review", "attempts_exhausted", 2)
    letter = letter_of(first)

    second = Rig(store=store, publisher=publisher)
    second.accept_retry(second.record(value, topic="orders-retry", headers=waiting.headers))
    second.advance(31)
    run(second.run())
    again = letter_of(second)
    assert not second.risk.calls
    assert (again.reason, again.attempts, again.original_offset) == (letter.reason, letter.attempts, 7)
    assert letter.attempts == "4"


@each
def test_a_turn_that_was_parked_before_does_not_change_it(reason: str) -> None:
    """Left over on orders-retry, of an order that has been settled meanwhile."""
    rig = Rig()
    value = settled(rig, reason)
    moment = str(int(NOW.timestamp() * 1000)).encode()
    headers = [("x-attempts", b"1"), ("x-first-failed-at", moment), ("x-next-attempt-at", moment)]
    calls = len(rig.risk.calls)
    rig.accept_retry(rig.record(value, topic="orders-retry", headers=headers, offset=9))
    rig.advance(1)
    run(rig.run())
    assert state(rig, value) == ("under_review", reason, 1)
    assert len(rig.risk.calls) == calls
    assert rig.publisher.reasons() == [reason, reason]


def test_an_answer_that_comes_later_does_not_change_it() -> None:
    """A zombie's, or another worker's: it was asked before the row was settled."""
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    order = _order_of(rig, value)
    run(rig.store.commit([Proposal(order, order.fingerprint(), unscored("risk_refused"))]))
    rig.answer(value, scored(900))
    run(rig.run())
    assert state(rig, value) == ("under_review", "risk_refused", 1)
    assert rig.publisher.reasons() == ["risk_refused"]


def _order_of(rig: Rig, value: bytes) -> Order:
    return rig.pipeline.flights[id_of(value)].order


@each
def test_sent_again_it_is_asked_about_once_and_decided(reason: str) -> None:
    rig = Rig()
    value = settled(rig, reason)
    if reason == "unknown_product":
        know_the_product(rig)
    letter, calls = letter_of(rig), len(rig.risk.calls)
    for offset in range(3):  # redelivered, and sent twice
        play_again(rig, letter, offset=offset)
    assert state(rig, value)[::2] == ("approved", 2)
    assert len(rig.risk.calls) == calls + 1
    assert rig.publisher.reasons() == [reason]


def know_the_product(rig: Rig) -> None:
    """The operator adds the product, and the worker is started anew."""
    rig.scoring._policy = type(rig.scoring._policy)(
        version="2", products={"yacht": rig.scoring._policy.products["personal_loan"]}
    )


@each
def test_sent_again_in_vain_it_has_one_version_more_and_a_letter_of_it(reason: str) -> None:
    """A redelivery of what was sent again, or the same letter once more, asks nobody: the version moved on."""
    rig = Rig()
    value = settled(rig, reason)
    rig.answer(value, UNUSABLE if reason == "no_usable_answer" else RiskRefused("422"))
    letter, calls = letter_of(rig), len(rig.risk.calls)
    for offset in range(3):
        play_again(rig, letter, offset=offset)
    assert state(rig, value) == ("under_review", reason, 2)
    assert len(rig.risk.calls) == calls + (reason != "unknown_product")
    again = letter_of(rig)
    assert (again.row_version, again.identity) == (2, letter.identity)
    rig.answer(value, scored(900))
    play_again(rig, again, offset=3)
    assert state(rig, value)[1:] == (("unknown_product", 3) if reason == "unknown_product" else (_ABOVE, 3))


_ABOVE = "score_above_threshold"


def test_sent_again_while_the_api_is_away_it_is_tried_until_it_is_given_up() -> None:
    rig = Rig()
    value = settled(rig, "no_usable_answer")
    rig.answer(value, *[EXHAUSTED] * 3)
    play_again(rig, letter_of(rig))
    assert state(rig, value) == ("under_review", RISK_UNAVAILABLE, 2)
    for turn in range(2):
        _, waiting = rig.publisher.topics["orders-retry"][-1]
        assert REOPENS not in dict(waiting.headers), "parked, it is an order like any other"
        rig.accept_retry(rig.record(value, topic="orders-retry", headers=waiting.headers, offset=turn + 5))
        rig.advance(31)
        run(rig.run())
    assert state(rig, value) == ("under_review", "attempts_exhausted", 3)
    assert rig.publisher.reasons() == ["no_usable_answer", "attempts_exhausted"]


def test_sent_again_and_asked_for_longer_than_a_moment_it_is_not_settled_by_its_old_row() -> None:
    """The row shows its old reason until there is an answer: waiting changes no row."""
    rig = Rig()
    value = settled(rig, "risk_refused")
    letter = letter_of(rig)

    async def play() -> None:
        gate = rig.risk.hold()
        rig.accept_retry(redelivered(rig, send_again(letter, TO, "ana", NOW), 0))
        rig.advance(1)
        await rig.pipeline.start_due()
        await rig.scoring.look_up_once()
        asked = asyncio.create_task(rig.scoring.score_once())
        await turns()
        rig.advance(2)
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()
        assert state(rig, value) == ("under_review", "risk_refused", 1)
        assert len(rig.acknowledged) == 1, "only the first record is done"
        gate.set()
        await asked
        await rig.run()

    run(play())
    assert state(rig, value)[::2] == ("approved", 2)
    assert rig.publisher.reasons() == ["risk_refused"]


def test_a_replay_is_not_done_by_a_redelivery_that_is_in_flight() -> None:
    rig = Rig()
    value = settled(rig, "risk_refused")
    letter = letter_of(rig)
    rig.seen.partitions.clear()
    rig.pipeline.accept(rig.record(value, offset=2, replayed=True))
    rig.accept_retry(redelivered(rig, send_again(letter, TO, "ana", NOW), 11))
    rig.advance(1)
    run(rig.run())
    rig.advance(1)
    run(rig.run())
    assert state(rig, value)[::2] == ("approved", 2)


def test_a_replay_that_waits_for_a_redelivery_is_asked_about_once_however_late_it_was_looked_up() -> None:
    """With PostgreSQL slow, the redelivery is committed as under review beside its look-up: it ends twice, at once."""
    rig = Rig()
    value = settled(rig, "risk_refused")
    letter, calls = letter_of(rig), len(rig.risk.calls)
    rig.seen.partitions.clear()
    rig.pipeline.accept(rig.record(value, offset=2, replayed=True))
    rig.accept_retry(redelivered(rig, send_again(letter, TO, "ana", NOW), 11))
    rig.advance(2)
    run(rig.run())
    assert state(rig, value)[::2] == ("approved", 2)
    assert len(rig.risk.calls) == calls + 1
    assert rig.publisher.reasons() == ["risk_refused", "risk_refused"], "a letter for each end, not for each commit"
    assert len(rig.acknowledged) == 3


def test_a_replay_stays_one_when_the_topics_grew_before_it_was_read() -> None:
    """Sent to the home that its order had: handed on to the one that it has now."""
    rig = Rig()
    value = settled(rig, "risk_refused")
    sending = send_again(letter_of(rig), TO, "ana", NOW)
    elsewhere = sending._replace(partition=(sending.partition + 1) % 4)
    rig.accept_retry(redelivered(rig, elsewhere))
    run(rig.run())
    ((home, moved),) = rig.publisher.topics["orders-retry"]
    assert home == sending.partition
    rig.accept_retry(redelivered(rig, sending._replace(record=moved), 1))
    rig.advance(1)
    run(rig.run())
    assert state(rig, value)[::2] == ("approved", 2)


@pytest.mark.parametrize("headers", [[("foo", b"x" * 262_141)], [("x-attempts", b"x")] * 23_831])
def test_an_order_that_fills_the_limit_is_tried_again_and_sent_again(headers: Any) -> None:
    """What we write beside it is ours: it is no larger order than when it was taken."""
    rig, value = Rig(), order_json()
    away = (home_of(value) + 1) % 4
    rig.answer(value, EXHAUSTED, RiskRefused("422"))
    rig.pipeline.accept(rig.record(value, partition=away, headers=headers))
    run(rig.run())
    _, hop = rig.publisher.topics["orders-by-id"][-1]
    rig.pipeline.accept(rig.record(value, topic="orders-by-id", headers=hop.headers, key=hop.key))
    run(rig.run())
    _, waiting = rig.publisher.topics["orders-retry"][-1]
    rig.accept_retry(rig.record(value, topic="orders-retry", headers=waiting.headers, key=waiting.key))
    rig.advance(31)
    run(rig.run())
    assert state(rig, value) == ("under_review", "risk_refused", 2)
    assert rig.publisher.reasons() == ["risk_refused"]
    play_again(rig, letter_of(rig))
    assert state(rig, value)[::2] == ("approved", 3)


def test_what_was_given_up_takes_no_place_of_the_order_that_came_again() -> None:
    """The partition went away and came back while PostgreSQL was asked."""
    rig, value = Rig(), order_json(product="yacht")
    rig.pipeline.accept(rig.record(value, offset=1, replayed=True))
    rig.pipeline.own(None)
    rig.pipeline.own(frozenset(range(4)), interrupted=True)
    rig.pipeline.accept(rig.record(value, offset=1))
    run(rig.run())
    assert state(rig, value) == ("under_review", "unknown_product", 1)
    assert len(rig.acknowledged) == 1


@pytest.mark.parametrize("text", ["9" * 5_000, "-1", "x", "١"])
def test_a_version_that_is_none_is_no_traceback(text: str) -> None:
    letter = a_letter(order_json(), "risk_refused", **{"x-row-version": text})
    assert letter.row_version is None
    assert dict(send_again(letter, TO, "ana", NOW).record.headers)[REOPENS] == b"risk_refused"


@pytest.mark.parametrize("topic", ["orders", "orders-by-id"])
def test_a_producers_own_header_reopens_nothing(topic: str) -> None:
    """Nor after the hop, nor once it was parked."""
    rig = Rig()
    value = settled(rig, "risk_refused")
    forged = [Reopens("risk_refused", 1).header]
    rig.seen.partitions.clear()
    rig.pipeline.accept(rig.record(value, topic=topic, offset=3, replayed=True, headers=forged))
    run(rig.run())
    assert state(rig, value) == ("under_review", "risk_refused", 1)
    parked = order_json()
    rig.answer(parked, EXHAUSTED)
    rig.pipeline.accept(rig.record(parked, topic=topic, headers=forged))
    run(rig.run())
    _, waiting = rig.publisher.topics["orders-retry"][-1]
    assert REOPENS not in dict(waiting.headers)


def test_a_letter_of_the_release_before_is_sent_again_by_its_reason() -> None:
    rig = Rig()
    value = settled(rig, "risk_refused")
    headers = {"x-original-partition": str(rig.record(value).partition), "x-original-offset": "2"}
    play_again(rig, a_letter(value, "risk_refused", **headers))
    assert state(rig, value)[::2] == ("approved", 2)
    for reason in ("risk_unavailable", "conflict"):
        assert REOPENS not in dict(send_again(a_letter(value, reason, **headers), TO, "ana", NOW).record.headers)


@pytest.mark.parametrize(
    "text",
    ["", "risk_refused", "risk_refused 1", "risk_refused x", "risk_refused ١", "x " + "9" * 5_000, " 1", "\ufffd"],
)
def test_any_text_is_read(text: str) -> None:
    told: Any = Reopens.read(text.encode())
    assert told is None or (told.version in (None, 1) and not told.takes(_row(Decision(status="approved", reason="x"))))


def _row(decision: Decision) -> Any:
    store = FakeStore()
    order = Rig()
    value = order_json(uuid4())
    order.pipeline.accept(order.record(value))
    proposal = _order_of(order, value)
    return run(store.commit([Proposal(proposal, proposal.fingerprint(), decision)]))[proposal.order_id]


def test_a_forgotten_row_waits_for_nobody() -> None:
    row = _row(unscored("risk_refused"))
    forgotten = msgspec.structs.replace(row, fingerprint=FORGOTTEN)
    assert forgotten.is_settled and not forgotten.waits_for_person
    assert not _row(WAITING).is_settled
