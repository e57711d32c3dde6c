"""What the pipeline makes of orders whose home has moved, that are older than its memory, or that were forgotten."""

import msgspec

from creditstream.errors import RiskUnavailable
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER
from tests.unit.pipeline_rig import ROUTES, Rig, home_of, id_of, order_json, run, scored


def test_a_retry_that_was_parked_for_fewer_partitions_goes_to_its_new_home_with_its_turn() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, RiskUnavailable("down", 1))
    rig.pipeline.accept(rig.record(value, offset=5))
    run(rig.run())
    _, waiting = rig.publisher.topics["orders-retry"].pop()
    elsewhere = (home_of(value) + 1) % ROUTES.partitions
    old = rig.record(value, topic="orders-retry", headers=waiting.headers, partition=elsewhere, offset=8)
    rig.accept_retry(old)
    rig.advance(30)
    run(rig.run())
    [(home, moved)] = rig.publisher.topics["orders-retry"]
    assert home == home_of(value)
    assert ("orders-retry", elsewhere, 8) in rig.acknowledged
    again = rig.record(value, topic="orders-retry", headers=moved.headers)
    assert (again.turn, again.origin) == (old.turn, old.origin)


def test_an_order_older_than_the_window_is_looked_up_before_the_bureau_is_asked() -> None:
    rig, value = Rig(), order_json(created_at="2026-11-01T00:00:00Z")
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    rig.seen.partitions.clear()  # the window is over
    rig.pipeline.accept(rig.record(value, offset=1))
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.acknowledged) == 2


def test_while_the_table_is_damaged_an_order_is_looked_up_before_the_bureau_is_asked() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    rig.seen.partitions.clear()  # wiped in use
    rig.seen.damaged.add(home_of(value))
    rig.pipeline.accept(rig.record(value, offset=1))
    run(rig.run())
    assert len(rig.risk.calls) == 1
    assert len(rig.acknowledged) == 2


def test_a_forward_of_a_replayed_record_is_looked_up_too() -> None:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    rig.seen.partitions.clear()
    elsewhere = (home_of(value) + 1) % ROUTES.partitions
    rig.pipeline.accept(rig.record(value, partition=elsewhere, offset=1, replayed=True))
    run(rig.run())
    [(_, forward)] = rig.publisher.topics["orders-by-id"]
    rig.pipeline.accept(rig.record(value, topic="orders-by-id", headers=forward.headers))
    run(rig.run())
    assert len(rig.risk.calls) == 1


def test_whatever_comes_with_a_forgotten_orders_id_is_a_repeat_of_it() -> None:
    rig, value = Rig(), order_json()
    rig.answer(value, scored(800))
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    order_id = id_of(value)
    rig.store.rows[order_id] = msgspec.structs.replace(
        rig.store.rows[order_id], customer_id=FORGOTTEN_CUSTOMER, fingerprint=FORGOTTEN, version=2
    )
    reminder = order_json(order_id, customer_id=FORGOTTEN_CUSTOMER)
    rig.accept_retry(rig.record(reminder, topic="orders-retry", headers=[("x-attempts", b"1")]))
    rig.advance(1)
    run(rig.run())
    last = rig.publisher.values("order-status")[-1]
    assert (last["customer_id"], last["status"], last["version"]) == (FORGOTTEN_CUSTOMER, "approved", 2)
    assert rig.seen.fingerprint(home_of(value), order_id) == FORGOTTEN
    for offset, content in enumerate((value, order_json(order_id, amount="2.00")), start=1):
        rig.pipeline.accept(rig.record(content, offset=offset))
    run(rig.run())
    rig.seen.partitions.clear()
    rig.pipeline.accept(rig.record(value, offset=3, replayed=True))
    run(rig.run())
    assert not rig.publisher.topics["orders-dead-letter"]
    assert len(rig.risk.calls) == 1
