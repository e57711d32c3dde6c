"""Dead letters on their way: cut when they are too large, and never the end of what goes with them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditstream.errors import BrokerUnavailable, Unsendable
from creditstream.operations.dead_letter import read_letter
from creditstream.operations.dlq.actions import Listing, There
from creditstream.operations.dlq.render import render_letter, render_listing
from creditstream.operations.dlq.replay import Destinations, send_again
from creditstream.operations.forget.letters import blanked, concerning
from creditstream.order.dead_letters import letter_parcel, write_letter
from creditstream.order.outbox import Parcel, deliver
from creditstream.order.ports import Outgoing, Publishes
from creditstream.order.record import Record
from schemas import headers
from tests.unit.pipeline_rig import NOW, ROUTES, Rig, order_json, run, turns

_NAMES = st.sampled_from([*sorted(headers.RESERVED), "x-replay-of", "x-producer-x-attempts", "trace", ""])
_HEADERS = st.lists(st.tuples(_NAMES, st.none() | st.binary(max_size=30)), max_size=12)


def size(record: Outgoing) -> int:
    own = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + own


class Topic(Publishes):
    """Takes records up to a size, as a topic does; whole batches of them too."""

    def __init__(self, **limits: int) -> None:
        self._limits, self.taken = limits, defaultdict[str, list[Outgoing]](list)

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        most = self._limits.get(topic.replace("-", "_"), 10**9)
        if any(size(record) > most for outgoing in records.values() for record in outgoing):
            raise Unsendable(topic)
        for outgoing in records.values():
            self.taken[topic] += outgoing
        return dict.fromkeys(records, 0)


@pytest.mark.parametrize("limit", [6_000_000, 1_000_000, 100_000, 3_000])
def test_a_letter_is_as_long_as_its_topic_takes_and_says_that_it_is_cut(limit: int) -> None:
    rig, topic, done = Rig(), Topic(orders_dead_letter=limit), []
    value = b"\xff" * 10_000_000
    records = [
        rig.record(b"first"),
        rig.record(value, key=b"k", headers=[("a", b"1" * 50), ("b", None), ("c", b"2" * 40_000)]),
        rig.record(b"last"),
    ]
    letters = [record.letter("not_utf8", "why", NOW) for record in records]
    parcels = [letter_parcel(ROUTES, letter, lambda: done.append(1)) for letter in letters]
    run(deliver(topic, parcels))
    first, cut, last = topic.taken["orders-dead-letter"]
    assert (first.value, last.value, len(done)) == (b"first", b"last", 3)
    told = dict(cut.headers)
    assert (told["x-truncated-from"], told["x-error-class"]) == (b"10000000", b"not_utf8")
    assert value.startswith(cut.value or b"") and size(cut) <= limit
    letter = read_letter(_consumed(cut))
    assert (letter.truncated_from, letter.is_whole, letter.reason) == (10_000_000, False, "not_utf8")
    assert read_letter(_consumed(first)).is_whole


@pytest.mark.parametrize(("origin", "partition"), [(0, 0), (3, 3), (4, 0), (7, 3)])
def test_a_letter_goes_to_a_partition_that_there_is(origin: int, partition: int) -> None:
    """The topic of the record may have more of them."""
    letter = Rig().record(b"no order", partition=origin).letter("not_json", "why", NOW)
    assert letter_parcel(ROUTES, letter, lambda: None).partition == partition


def test_headers_and_a_key_that_are_too_large_are_left_out_and_counted() -> None:
    record = Rig().record(b"no order", key=b"k" * 3_000_000, headers=[("a", b"1"), *[("b", b"2" * 900_000)] * 5])
    topic = Topic(orders_dead_letter=6_000_000)
    run(deliver(topic, [letter_parcel(ROUTES, record.letter("not_json", "why", NOW), lambda: None)]))
    [letter] = topic.taken["orders-dead-letter"]
    assert (letter.key, letter.value) == (None, b"no order")
    assert dict(letter.headers)["x-truncated-parts"] == b"5", "the key and four headers"
    assert ("a", b"1") in letter.headers


def test_a_forward_that_its_topic_will_never_take_is_a_letter_and_the_others_go_on() -> None:
    rig, topic = Rig(), Topic(orders_by_id=2_000)
    rig.pipeline._outbox._publisher = topic
    away = [order_json(metadata={"x": "y" * length}) for length in (10, 5_000, 20)]
    for offset, value in enumerate(away):
        home = rig.record(value).partition
        rig.pipeline.accept(rig.record(value, offset=offset, partition=(home + 1) % 4))
    run(rig.outbox.run_once())
    assert [record.value for record in topic.taken["orders-by-id"]] == [away[0], away[2]]
    [letter] = topic.taken["orders-dead-letter"]
    assert (letter.value, dict(letter.headers)["x-error-class"]) == (away[1], b"too_large")
    assert rig.metrics.letters.read().values["too_large",] == 1
    assert len(rig.acknowledged) == 3


def _consumed(record: Outgoing, **place: Any) -> Any:
    usual = {"topic": "orders-dead-letter", "partition": 0, "offset": 1, "timestamp": int(NOW.timestamp() * 1000)}
    return SimpleNamespace(key=record.key, value=record.value, headers=record.headers, **(usual | place))


@given(
    _HEADERS, st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=10), st.integers(-(2**63), 2**63 - 1)
)
def test_whatever_stands_on_the_dead_letter_topic_is_read_by_all_tools(
    own: list[tuple[str, bytes | None]], value: bytes | None, key: bytes | None, timestamp: int
) -> None:
    record = _consumed(Outgoing(key, value, tuple(own)), timestamp=timestamp)
    letter = read_letter(record)
    assert letter.identity and letter.root and letter.failed_at.tzinfo
    for unmasked in (False, True):
        assert "\x00" not in render_letter(letter, unmasked=unmasked)
    assert render_listing(Listing(Counter([letter.reason]), [letter], There(Counter(), Counter())), as_json=True)
    sending = send_again(letter, Destinations("orders", "orders-retry", 4), "ana", NOW)
    assert sending.record.value == value and 0 <= sending.partition < 4
    concerning("c-1", ())(record)
    assert all(name in headers.RESERVED for name, _ in blanked(record, uuid4()).headers)


def test_what_a_producer_calls_by_our_names_comes_back_as_it_sent_it() -> None:
    rig = Rig()
    sent = (("x-attempts", b"99"), ("x-forgotten-by", None), ("x-error-class", b"mine"), ("foo", None))
    letter = read_letter(
        _consumed(Outgoing(*rig.record(b"no", headers=sent).letter("not_json", "why", NOW).to_record(9**9)))
    )
    assert (letter.attempts, letter.reason, letter.is_forgotten) == ("1", "not_json", False)
    again = send_again(letter, Destinations("orders", "orders-retry", 4), "ana", NOW)
    assert again.record.headers[: len(sent)] == sent


@pytest.mark.parametrize("error", [Unsendable, BrokerUnavailable])
def test_a_topic_that_takes_nothing_is_asked_again_after_a_pause(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("creditstream.order.outbox._BACKOFF", 3_600.0)
    asked: list[str] = []

    class Away(Topic):
        async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
            asked.append(topic)
            assert len(asked) < 50, "it is asked again and again"
            raise error(topic)

    async def scene() -> None:
        parcel = Parcel("orders-dead-letter", 0, Outgoing(None, b"a letter"), lambda: None)
        delivering = asyncio.create_task(deliver(Away(), [parcel]))
        await turns(100)
        assert len(asked) == 1 and not delivering.done()
        delivering.cancel()

    run(scene())


@pytest.mark.parametrize("forwarded", [False, True])
def test_a_topic_that_refuses_every_letter_for_a_while_gets_it_whole_afterwards(
    forwarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop of letters does not end, and by then the letter is not cut for ever."""
    monkeypatch.setattr("creditstream.order.outbox._BACKOFF", 0.0)
    rig, refused, done = Rig(), Counter[str](), []

    class Away(Topic):
        async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
            refused[topic] += 1
            return await super().publish(topic, records) if refused[topic] > 3_000 else await self._refuse(topic)

        async def _refuse(self, topic: str) -> dict[int, int]:
            raise Unsendable(topic)

    topic = Away()
    told = rig.record(b"no order").letter("not_json", "why", NOW)
    parcel = original = letter_parcel(ROUTES, told, lambda: done.append("letter"))
    if forwarded:
        record = Outgoing(None, b"an order")
        parcel = Parcel("orders-by-id", 0, record, lambda: done.append("record"), lambda: original)
    run(deliver(topic, [parcel]))
    [letter] = topic.taken["orders-dead-letter"]
    assert letter.value == b"no order" and read_letter(_consumed(letter)).is_whole
    assert done == ["record" if forwarded else "letter"] and refused["orders-by-id"] == int(forwarded)


@pytest.mark.parametrize(("topic", "origin"), [(b"orders", ("orders", 3, 7)), ("orders", ("orders-by-id", 0, 12))])
def test_a_letter_that_cannot_hold_all_of_its_record_says_still_where_that_first_stood(
    topic: Any, origin: tuple[str, int, int]
) -> None:
    """A header that is no pair; and with ours damaged too, the record's own place."""
    ours = zip(headers.ORIGIN, (topic, b"3", b"7", b"1"), strict=True)
    bad: Any = (*ours, ("a", b"b", b"c"))
    record = Record("orders-by-id", 0, 12, 1, b"k", b"{", bad, headers.HOP, replayed=False, acknowledge=lambda: None)
    letter = write_letter(Rig().metrics, record, "unreadable", "why", NOW)
    assert (letter.topic, letter.partition, letter.offset) == origin
    assert (letter.key, letter.value, letter.headers) == (None, b"{", ())
