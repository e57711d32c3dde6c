"""One order's way over fakes: every outcome, every join, and that nothing is done before its effects are."""

from uuid import uuid4

import pytest

from creditstream.errors import RiskRefused, RiskUnavailable
from schemas.status import decode_status
from tests.unit.pipeline_rig import NOW, Rig, home_of, id_of, order_json, run, scored

ACKNOWLEDGED_NOTHING: list[tuple[str, int, int]] = []


def test_an_order_becomes_a_row_a_status_a_mark_and_then_its_offset_is_done() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value, offset=7))
    run(rig.run())
    ((partition, status),) = rig.publisher.topics["order-status"]
    published = decode_status(status.value or b"")
    assert partition == home_of(value)
    row = rig.store.rows[published.order_id]
    assert all(getattr(published, name) == getattr(row, name) for name in published.__struct_fields__)
    assert (published.version, published.status, published.score) == (1, "approved", 700)
    assert rig.seen.fingerprint(partition, published.order_id)
    assert rig.acknowledged == [("orders", partition, 7)]
    assert not rig.pipeline.flights


@pytest.mark.parametrize("step", ["order-status", "seen-changelog"])
def test_nothing_is_acknowledged_before_delivery_is_certain(step: str) -> None:
    rig = Rig()
    failing = rig.publisher.publish
    done: list[str] = []

    async def publish(topic: str, records: object) -> dict[int, int]:
        assert not rig.acknowledged, f"acknowledged before {topic} was delivered"
        done.append(topic)
        return await failing(topic, records)  # type: ignore[arg-type]

    rig.publisher.publish = publish  # type: ignore[method-assign]
    rig.pipeline.accept(rig.record(order_json()))
    run(rig.run())
    assert step in done
    assert len(rig.acknowledged) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "empty"), (b"", "empty"), (b"{", "not_json"), (b"\xff", "not_utf8"), (b"[]", "not_an_object")],
)
def test_what_is_no_order_becomes_a_letter_with_its_untouched_bytes(value: bytes | None, reason: str) -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(value, offset=3, key=b"k", headers=[("trace", b"\x00\xff")]))
    assert rig.acknowledged == ACKNOWLEDGED_NOTHING
    run(rig.run())
    ((_, letter),) = rig.publisher.topics["orders-dead-letter"]
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"k", value)
    assert headers["trace"] == b"\x00\xff"
    assert headers["x-error-class"] == reason.encode()
    assert (headers["x-original-topic"], headers["x-original-offset"]) == (b"orders", b"3")
    assert len(rig.acknowledged) == 1


def test_an_order_on_another_partition_is_forwarded_with_its_origin_and_no_more() -> None:
    rig, value = Rig(), order_json()
    home = home_of(value)
    rig.pipeline.accept(rig.record(value, partition=(home + 1) % 4, offset=9, key=b"mine"))
    run(rig.run())
    ((partition, forward),) = rig.publisher.topics["orders-by-id"]
    assert (partition, forward.value) == (home, value)
    assert rig.risk.calls == []
    hop = rig.record(value, topic="orders-by-id", headers=forward.headers, key=forward.key)
    assert hop.origin[:3] == ("orders", (home + 1) % 4, 9)
    assert hop.original_key == b"mine"


def test_the_same_content_again_is_a_duplicate_and_other_content_a_conflict() -> None:
    rig, order_id = Rig(), uuid4()
    rig.pipeline.accept(rig.record(order_json(order_id), offset=0))
    run(rig.run())
    rig.pipeline.accept(rig.record(order_json(str(order_id).upper(), metadata={"trace": "2"}), offset=1))
    rig.pipeline.accept(rig.record(order_json(order_id, amount=1), offset=2))
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.publisher.topics["order-status"]) == 1
    assert rig.publisher.reasons() == ["conflict"]
    assert len(rig.acknowledged) == 3


def test_a_redelivery_joins_the_order_in_flight_and_is_done_with_it() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value, offset=4))
    rig.pipeline.accept(rig.record(value, offset=4))
    assert rig.acknowledged == ACKNOWLEDGED_NOTHING
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.acknowledged) == 2


def test_other_content_is_judged_after_the_first_has_committed() -> None:
    rig, order_id = Rig(), uuid4()
    rig.pipeline.accept(rig.record(order_json(order_id), offset=0))
    rig.pipeline.accept(rig.record(order_json(order_id, amount=1), offset=1))
    assert not rig.publisher.topics["orders-dead-letter"]
    run(rig.run())
    assert rig.publisher.reasons() == ["conflict"]
    assert len(rig.acknowledged) == 2


def test_a_conflict_that_only_postgresql_knows_is_found_at_the_commit() -> None:
    rig, order_id = Rig(), uuid4()
    rig.pipeline.accept(rig.record(order_json(order_id)))
    run(rig.run())
    late = Rig(store=rig.store)
    late.pipeline.accept(late.record(order_json(order_id, amount=1)))
    run(late.run())
    assert late.publisher.reasons() == ["conflict"]
    assert not late.publisher.topics["order-status"]
    assert len(late.acknowledged) == 1


def test_a_replayed_order_that_was_decided_is_published_again_the_same_without_a_risk_call() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    again = Rig(store=rig.store)
    again.pipeline.accept(again.record(value, replayed=True))
    run(again.run())
    assert again.risk.calls == []
    assert again.publisher.topics["order-status"] == rig.publisher.topics["order-status"]
    assert len(again.acknowledged) == 1


def test_a_second_answer_never_changes_a_committed_decision() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, scored(900))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    other = Rig(store=rig.store)
    other.answer(value, scored(1))
    other.pipeline.accept(other.record(value))
    run(other.run())
    assert other.publisher.values("order-status") == rig.publisher.values("order-status")
    assert other.publisher.values("order-status")[0]["status"] == "approved"


def test_an_order_that_waits_is_shown_under_review_and_then_decided() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    rig.advance(1.5)

    async def commit_before_the_answer() -> None:
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()

    run(commit_before_the_answer())
    assert rig.acknowledged == ACKNOWLEDGED_NOTHING
    run(rig.run())
    statuses = [(status["status"], status["version"]) for status in rig.publisher.values("order-status")]
    assert statuses[0] == ("under_review", 1)
    assert statuses[1][1] == 2
    assert len(statuses) == 2
    assert len(rig.acknowledged) == 1


def test_an_order_is_shown_as_soon_as_its_time_is_up_and_not_before() -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(order_json()))
    rig.advance(0.999)
    run(rig.settlement.commit_once())
    assert not rig.store.rows
    rig.advance(0.001)
    run(rig.settlement.commit_once())
    assert [row.status for row in rig.store.rows.values()] == ["under_review"]


def test_an_order_decided_between_two_flushes_costs_one_write() -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(order_json()))
    rig.advance(1.5)
    run(rig.run())
    assert [status["version"] for status in rig.publisher.values("order-status")] == [1]


def test_a_refused_order_stays_under_review_and_has_a_letter() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskRefused("422"))
    rig.pipeline.accept(rig.record(value, offset=2))
    run(rig.run())
    (status,) = rig.publisher.values("order-status")
    assert (status["status"], status["reason"]) == ("under_review", "risk_refused")
    assert rig.publisher.reasons() == ["risk_refused"]
    assert len(rig.acknowledged) == 1


def test_an_order_whose_attempts_are_spent_waits_on_the_retry_topic_and_is_then_decided() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskUnavailable("down", 3))
    rig.pipeline.accept(rig.record(value, offset=5))
    run(rig.run())
    ((partition, waiting),) = rig.publisher.topics["orders-retry"]
    assert partition == home_of(value)
    assert len(rig.acknowledged) == 1
    rig.answer(value, scored(800))
    retry = rig.record(value, topic="orders-retry", headers=waiting.headers, key=waiting.key)
    assert retry.origin[2] == 5
    rig.accept_retry(retry)
    rig.advance(29)
    run(rig.run())
    assert len(rig.acknowledged) == 1, "not due yet"
    rig.advance(1)
    run(rig.run())
    assert [status["status"] for status in rig.publisher.values("order-status")] == ["under_review", "approved"]
    assert len(rig.acknowledged) == 2


def test_after_the_last_turn_there_is_a_letter_and_no_retry() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, *[RiskUnavailable("down", 1)] * 4)
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    for turn in range(1, 4):
        _, waiting = rig.publisher.topics["orders-retry"][-1]
        assert len(rig.publisher.topics["orders-retry"]) == turn
        rig.accept_retry(rig.record(value, topic="orders-retry", headers=waiting.headers))
        rig.advance(31)
        run(rig.run())
    assert len(rig.publisher.topics["orders-retry"]) == 3
    assert rig.publisher.reasons() == ["attempts_exhausted"]
    assert not rig.pipeline.flights


def test_while_parked_a_duplicate_costs_no_risk_call() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskUnavailable("down", 1))
    rig.pipeline.accept(rig.record(value, offset=0))
    run(rig.run())
    rig.pipeline.accept(rig.record(value, offset=1))
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.acknowledged) == 2


def test_a_row_that_postgresql_refuses_becomes_a_letter_and_the_others_commit() -> None:
    rig, bad, good = Rig(), order_json(), order_json()
    rig.store.refuse([id_of(bad)], "invalid_row")
    rig.pipeline.accept(rig.record(bad, offset=0))
    rig.pipeline.accept(rig.record(good, offset=1))
    run(rig.run())
    assert rig.publisher.reasons() == ["invalid_row"]
    assert len(rig.publisher.topics["order-status"]) == 1
    assert len(rig.acknowledged) == 2


def test_an_order_that_another_worker_decided_while_it_could_not_be_scored_is_not_tried_again() -> None:
    other, value = Rig(), order_json()
    other.pipeline.accept(other.record(value))
    run(other.run())
    rig = Rig(store=other.store)
    rig.answer(value, RiskUnavailable("down", 1))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    assert not rig.publisher.topics["orders-retry"]
    assert rig.publisher.values("order-status") == other.publisher.values("order-status")
    assert len(rig.acknowledged) == 1


@pytest.mark.parametrize(("seconds", "waits"), [(3.0, 3.0), (0.0, 0.0), (-5.0, 0.0)])
def test_how_long_a_record_waited_to_be_accepted_is_counted_from_when_it_was_written(
    seconds: float, waits: float
) -> None:
    rig = Rig()
    rig.metrics.now = lambda: NOW.timestamp() + seconds
    rig.pipeline.accept(rig.record(order_json()))
    assert rig.metrics.accepted.read().total == pytest.approx(waits)


def test_letters_that_wait_for_their_delivery_take_places_too() -> None:
    """I9: as many as orders in flight."""
    rig = Rig()
    for offset in range(100):
        assert rig.pipeline.has_room()
        rig.pipeline.accept(rig.record(b"no order", offset=offset))
    assert not rig.pipeline.has_room()
    run(rig.outbox.run_once())
    assert rig.pipeline.has_room()


def test_a_crash_in_the_client_parks_the_order_instead_of_losing_it() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, ZeroDivisionError("a bug"))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    assert len(rig.publisher.topics["orders-retry"]) == 1
    assert len(rig.acknowledged) == 1


def test_orders_of_a_partition_that_went_away_are_given_up_unpublished() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    rig.pipeline.own(frozenset(range(4)) - {home_of(value)})
    run(rig.run())
    assert not rig.publisher.topics
    assert rig.acknowledged == ACKNOWLEDGED_NOTHING


def test_a_table_that_cannot_be_read_is_asked_for_no_more_than_time() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    rig.seen.partitions.clear()
    rig.pipeline.accept(rig.record(value, offset=1, replayed=True))
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.acknowledged) == 2


@pytest.mark.parametrize(
    "headers",
    [
        [("x-original-topic", b"orders")],
        [("x-original-topic", b"t"), ("x-original-partition", b"x"), ("x-original-offset", b"1")],
        [("x-attempts", b"3"), ("x-next-attempt-at", b"never")],
        [(f"x-original-{name}", b"1") for name in ("topic", "partition", "offset", "timestamp", "key")],
    ],
)
def test_a_producers_own_headers_claim_nothing(headers: list[tuple[str, bytes]]) -> None:
    rig = Rig()
    rig.pipeline.accept(rig.record(b"no order", offset=4, headers=headers, key=b"k"))
    value = order_json()
    rig.pipeline.accept(rig.record(value, offset=5, partition=(home_of(value) + 1) % 4, headers=headers, key=b"k"))
    rig.pipeline.accept(rig.record(order_json(), offset=6, headers=headers))
    run(rig.run())
    ((_, letter),) = rig.publisher.topics["orders-dead-letter"]
    assert dict(letter.headers)["x-original-offset"] == b"4"
    assert letter.key == b"k"
    ((_, forward),) = rig.publisher.topics["orders-by-id"]
    assert dict(forward.headers)["x-original-offset"] == b"5"
    assert len(rig.acknowledged) == 3


@pytest.mark.parametrize(
    "headers",
    [
        [("x-original-topic", b"orders")],
        [(f"x-original-{name}", b"x") for name in ("topic", "partition", "offset", "timestamp")],
        [("x-attempts", b"x")],
        [],
    ],
)
def test_damaged_headers_on_an_internal_topic_do_no_harm(headers: list[tuple[str, bytes]]) -> None:
    rig = Rig()
    record = rig.record(order_json(), topic="orders-retry", headers=headers)
    rig.accept_retry(record)
    rig.advance(0)
    run(rig.run())
    assert record.origin.topic == "orders-retry"
    assert len(rig.acknowledged) == 1


def test_while_kafka_is_away_the_same_is_published_until_it_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creditstream.order.outbox._BACKOFF", 0)
    rig = Rig()
    rig.publisher.failures = 3
    rig.pipeline.accept(rig.record(order_json(), offset=0))
    rig.pipeline.accept(rig.record(b"no order", offset=1))
    run(rig.run())
    assert len(rig.publisher.topics["order-status"]) == 1
    assert rig.publisher.reasons() == ["not_json"]
    assert len(rig.acknowledged) == 2


def test_a_replayed_conflict_with_an_order_under_review_is_found_by_the_look_up() -> None:
    rig, order_id = Rig(), uuid4()
    first = order_json(order_id)
    rig.answer(first, RiskUnavailable("down", 1))
    rig.pipeline.accept(rig.record(first))
    run(rig.run())
    after_a_crash = Rig(store=rig.store)
    after_a_crash.pipeline.accept(after_a_crash.record(order_json(order_id, amount=1), replayed=True))
    run(after_a_crash.run())
    assert after_a_crash.publisher.reasons() == ["conflict"]
    assert after_a_crash.risk.calls == []


def test_an_order_that_another_worker_decided_ends_without_waiting_for_the_risk_api() -> None:
    other, value = Rig(), order_json()
    other.pipeline.accept(other.record(value))
    run(other.run())
    rig = Rig(store=other.store)
    rig.pipeline.accept(rig.record(value))
    rig.advance(1.5)

    async def show() -> None:
        await rig.settlement.commit_once()
        await rig.settlement.finish_once()

    run(show())
    assert rig.risk.calls == []
    assert rig.publisher.values("order-status") == other.publisher.values("order-status")
    assert len(rig.acknowledged) == 1


def test_a_conflict_does_not_mark_the_order_whose_status_may_not_be_published_yet() -> None:
    """Found by freezing a worker between commit and publish: the conflict came back first, the order was skipped."""
    committed, order_id = Rig(), uuid4()
    value = order_json(order_id)
    committed.pipeline.accept(committed.record(value))
    run(committed.run())
    rig = Rig(store=committed.store)
    rig.pipeline.accept(rig.record(order_json(order_id, amount=1), offset=0, replayed=True))
    run(rig.run())
    assert rig.publisher.reasons() == ["conflict"]
    rig.pipeline.accept(rig.record(value, offset=1, replayed=True))
    run(rig.run())
    assert rig.publisher.values("order-status") == committed.publisher.values("order-status")


def test_what_was_held_while_others_may_have_had_the_partition_is_given_up_unpublished() -> None:
    """A zombie that gets its partition back must not publish the version that it committed before it froze."""
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    rig.advance(1.5)
    run(rig.settlement.commit_once())
    rig.pipeline.own(None)
    rig.pipeline.own(frozenset(range(4)), interrupted=True)
    run(rig.run())
    assert not rig.publisher.topics
    assert rig.acknowledged == ACKNOWLEDGED_NOTHING


def test_what_is_held_through_a_rebalance_without_interruption_goes_on() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    rig.pipeline.own(None)
    rig.pipeline.own(frozenset(range(4)))
    run(rig.run())
    assert len(rig.publisher.topics["order-status"]) == 1
