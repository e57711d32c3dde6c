"""Records between versions: this one reads what the release before wrote, and writes what that one reads."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from creditstream.operations.dead_letter import read_letter
from schemas.headers import REPLAYED
from schemas.status import decode_status
from tests.unit.formats import ORDER, written
from tests.unit.pipeline_rig import Rig, home_of, id_of, run

#: As the release before wrote them.
BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("formats.json").read_text())
#: Words for people, a time that a rule of retries makes, and which policy decided: free to change.
_FREE = {"x-error-message", "x-next-attempt-at", "policy_version"}
#: What a later release may add.
_NEW_HEADER = ("x-of-a-later-release", b"1")


def headers(topic: str) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in BEFORE[topic]["headers"].items()] + [_NEW_HEADER]


def kept(before: dict[str, Any], now: dict[str, Any]) -> None:
    """All that was there is there, and says the same."""
    assert before.keys() <= now.keys()
    assert {name: now[name] for name in before.keys() - _FREE} == {name: before[name] for name in before.keys() - _FREE}


@pytest.mark.parametrize("topic", BEFORE)
def test_what_is_written_holds_all_that_the_release_before_reads(topic: str) -> None:
    before, now = BEFORE[topic], written()[topic]
    assert now["key"] == before["key"]
    kept(before["headers"], now["headers"])
    if topic == "order-status":
        kept(json.loads(before["value"]), json.loads(now["value"]))
    else:
        assert now["value"] == before["value"], "the producer's untouched bytes; of seen, the fingerprint"


@pytest.mark.parametrize("replayed", [False, True])
def test_a_forward_says_that_its_order_may_be_settled_only_if_it_may(replayed: bool) -> None:
    forwarded = dict(Rig().record(ORDER, replayed=replayed).traced())
    assert (REPLAYED in forwarded) == replayed


def test_a_forward_of_the_release_before_is_read() -> None:
    rig = Rig()
    record = rig.record(ORDER, topic="orders-by-id", headers=headers("orders-by-id"), key=id_bytes())
    assert (record.origin, record.original_key) == (("orders", (home_of(ORDER) + 1) % 4, 5, record.timestamp_ms), b"k")
    rig.pipeline.accept(record)
    run(rig.run())
    assert rig.store.rows[id_of(ORDER)].status == "approved"


def test_a_wait_of_the_release_before_is_read() -> None:
    rig = Rig()
    record = rig.record(ORDER, topic="orders-retry", headers=headers("orders-retry"), key=id_bytes())
    assert (record.turn.attempts, record.origin.offset, record.original_key) == (1, 5, b"k")
    rig.accept_retry(record)
    run(rig.run())
    assert not rig.acknowledged, "it waits for its time"
    rig.advance(30)
    run(rig.run())
    assert rig.store.rows[id_of(ORDER)].status == "approved"


def test_a_status_of_the_release_before_and_of_a_later_one_is_read() -> None:
    later = {**json.loads(BEFORE["order-status"]["value"]), "of_a_later_release": [1]}
    assert decode_status(json.dumps(later).encode()) == decode_status(BEFORE["order-status"]["value"].encode())
    assert decode_status(json.dumps(later).encode()).version == 1


def test_a_letter_of_the_release_before_is_read() -> None:
    value = BEFORE["orders-dead-letter"]["value"].encode()
    letter = read_letter(
        SimpleNamespace(
            topic="orders-dead-letter",
            partition=0,
            offset=0,
            timestamp=0,
            key=b"k",
            value=value,
            headers=headers("orders-dead-letter"),
        )
    )
    assert (letter.topic, letter.original_offset, letter.reason) == ("orders", 6, "conflict")
    assert (letter.key, letter.value, letter.order_id) == (b"k", value, id_of(ORDER))


def test_a_mark_of_the_release_before_is_read() -> None:
    before, mark = Rig(), BEFORE["seen-changelog"]
    before.pipeline.accept(before.record(ORDER))
    run(before.run())
    rig = Rig(store=before.store)
    rig.seen.partitions[home_of(ORDER)][bytes.fromhex(mark["key"])] = bytes.fromhex(mark["value"])
    rig.pipeline.accept(rig.record(ORDER))
    run(rig.run())
    assert rig.acknowledged and not rig.risk.calls and not rig.publisher.topics, "known as a repeat"


def id_bytes() -> bytes:
    return str(id_of(ORDER)).encode()
