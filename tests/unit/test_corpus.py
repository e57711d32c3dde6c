"""The corpus itself: it is about every part of a record, and somebody sends each case."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from creditstream.metrics.catalogue import LETTERS
from tests.corpus.cases import OUTCOMES, Case, load
from tests.corpus.content import message
from tests.corpus.kinds import KINDS
from tests.corpus.shots import CHANNELS, CLIENTS, channels, shots

_NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
_CASES = load()
_LEAST = 150
#: Files and how many cases each has at least.
_PARTS = {
    "values": 60,
    "fields": 60,
    "keys": 10,
    "headers": 40,
    "timestamps": 20,
    "compression": 5,
    "transactions": 5,
    "internal": 10,
    "letters": 10,
    "forgotten": 5,
}
#: Reasons of dead letters that the catalogue has no word for yet.
_NEW_REASONS = ("unreadable", "attempts_exhausted")


def test_every_part_of_a_record_has_its_cases() -> None:
    counts = Counter(case.part for case in _CASES)
    assert len(_CASES) >= _LEAST
    assert {part: counts[part] for part in _PARTS if counts[part] < _PARTS[part]} == {}
    assert set(counts) == set(_PARTS)


def test_every_case_is_named_once() -> None:
    names = Counter((case.part, case.name) for case in _CASES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case.part}: {case.name}")
def test_every_case_is_sent_and_its_outcome_exists(case: Case) -> None:
    known = {*OUTCOMES, *LETTERS.labels[0].values, *_NEW_REASONS}
    assert case.outcomes and set(case.outcomes) <= known
    assert case.topics
    for kind in case.topics:
        assert channels(case, _CASES.index(case), kind, _NOW), f"nobody can send it to {kind}"


def test_every_producer_sends_with_every_codec() -> None:
    used = {shot.channel for kind in KINDS for shot in shots(_CASES, kind, 4, _NOW)}
    assert set(CHANNELS) - used == set()


def test_what_can_be_typed_is_typed_and_both_clients_send_nearly_all() -> None:
    found = shots(_CASES, "kafka4", 4, _NOW)
    senders = {(shot.case.part, shot.case.name): set[str]() for shot in found}
    for shot in found:
        senders[shot.case.part, shot.case.name].add(shot.channel.producer)
    counts = Counter(producer for producers in senders.values() for producer in producers)
    assert all(counts[client] > 0.9 * len(senders) for client in CLIENTS)
    assert counts["console"] > len(senders) / 2


def test_headers_keys_and_timestamps_are_sent_home_and_away() -> None:
    for part in ("keys", "headers", "timestamps"):
        wheres = Counter(shot.where for shot in shots(_CASES, "kafka4", 4, _NOW) if shot.case.part == part)
        assert wheres["home"] == wheres["away"] > 0


def test_content_is_what_it_says() -> None:
    [shot] = [
        each
        for each in shots([Case(name="x", expect="order", by=("aiokafka/none/single",))], "kafka4", 4, _NOW)
        if each.channel.mode == "single"
    ]
    assert shot.message.value is not None and str(shot.order_id).encode() in shot.message.value
    odd = Case(
        name="x",
        expect="order",
        value=["<ID>", {"hex": "00ff"}, {"repeat": "ab", "times": 2}, {"count": "#,", "times": 3}],
        key={"null": True},
        headers=[({"hex": "ff"}, {"null": True}), ("a", "")],
        timestamp="now*1000",
    )
    key, value, headers, timestamp = message(odd, shot.order_id, _NOW)
    assert (key, value) == (None, str(shot.order_id).upper().encode() + b"\0\xffabab0,1,2,")
    assert headers == ((b"\xff", None), (b"a", b""))
    assert timestamp == int(_NOW.timestamp()) * 1_000_000
