"""From Faust's stream to the pipeline's record: what it is made of, and which of them are handed on."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.offsets import Progress
from creditstream.order.record import Record
from creditstream.worker.intake import feed, record_of, unread
from schemas import headers
from tests.unit.pipeline_rig import run

_TP = TP("orders-by-id", 1)
_PROGRESS = Progress(0, replay_until=5)
_HEADERS = (("x-original-offset", b"3"), ("trace", None))


def message(offset: int, **changes: Any) -> Any:
    """As Faust's consumer makes it: its time is in seconds."""
    usual: dict[str, Any] = {
        "topic": _TP.topic,
        "partition": _TP.partition,
        "tp": _TP,
        "offset": offset,
        "timestamp": 1_700_000_000.123,
        "key": b"key",
        "value": b"value",
        "headers": list(_HEADERS),
        "progress": _PROGRESS,
    }
    return SimpleNamespace(**(usual | changes))


def event(offset: int, **changes: Any) -> Any:
    return SimpleNamespace(message=message(offset, **changes), ack=lambda: f"{offset} is done")


def test_a_record_is_what_was_delivered() -> None:
    record = record_of(event(7), {_TP.topic: headers.HOP}, replayed=True)
    assert (record.topic, record.partition, record.offset, record.timestamp_ms) == (*_TP, 7, 1_700_000_000_123)
    assert (record.key, record.value, record.headers) == (b"key", b"value", _HEADERS)
    assert (record.believed, record.replayed, record.acknowledge()) == (headers.HOP, True, "7 is done")
    bare = record_of(event(8, timestamp=None, headers=None), {}, replayed=False)
    assert (bare.timestamp_ms, bare.headers, bare.believed, bare.replayed) == (-1, (), frozenset(), False)


def test_one_that_never_became_an_event_is_the_same() -> None:
    never = message(7, timestamp=1_700_000_000_123)
    record = unread(never, {_TP.topic: headers.HOP}, lambda: "done", replayed=True)
    same = record_of(event(7), {_TP.topic: headers.HOP}, replayed=True)
    for name in ("topic", "partition", "offset", "timestamp_ms", "key", "value", "headers", "believed", "replayed"):
        assert getattr(record, name) == getattr(same, name)
    assert record.acknowledge() == "done"
    assert unread(message(7, timestamp=None, headers=None), {}, lambda: None).timestamp_ms == -1


class Stream:
    """Faust's: the first event by its own way, the others wait in its queue."""

    def __init__(self, *events: Any) -> None:
        self._events = list(events)
        queue = SimpleNamespace(qsize=lambda: len(self._events), get_nowait=lambda: self._events.pop(0))
        self.channel = SimpleNamespace(queue=queue)

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Any]:
        while self._events:
            yield self._events.pop(0)


def fed(*events: Any) -> tuple[list[Record], list[tuple[Record, str]], int]:
    """What was accepted, what was refused and why, and how often it waited for room."""
    accepted, refused, rooms = list[Record](), list[tuple[Record, str]](), list[None]()

    def unforeseen(record: Record, error: Exception, step: str) -> None:
        refused.append((record, f"{type(error).__name__} {step}"))

    async def room() -> None:
        rooms.append(None)

    app = SimpleNamespace(
        settings=Settings(),
        group=SimpleNamespace(progress={_TP: _PROGRESS}),
        pipeline=SimpleNamespace(unforeseen=unforeseen),
    )
    run(feed(cast(Any, app), Stream(*events), room, accepted.append))
    return accepted, refused, len(rooms)


def test_every_record_is_handed_on_when_there_is_room() -> None:
    accepted, refused, rooms = fed(*map(event, (3, 4, 5, 6)))
    assert [(record.offset, record.replayed) for record in accepted] == [(3, True), (4, True), (5, False), (6, False)]
    assert {record.believed for record in accepted} == {headers.HOP}
    assert (refused, rooms) == ([], 4)


@pytest.mark.parametrize("changes", [{"progress": Progress(0)}, {"tp": TP("orders-by-id", 2)}])
def test_what_was_delivered_before_positions_were_taken_anew_is_left_out(changes: dict[str, Any]) -> None:
    accepted, refused, _ = fed(event(3, **changes), event(4))
    assert ([record.offset for record in accepted], refused) == ([4], [])


def test_what_cannot_be_read_has_its_letter_and_the_others_go_on() -> None:
    accepted, [(bare, why)], _ = fed(event(3, headers=7), event(4))
    assert [record.offset for record in accepted] == [4]
    assert (bare.offset, bare.value, bare.headers, bare.key, why) == (3, b"value", (), None, "TypeError read")
    assert bare.timestamp_ms == -1, "as Kafka writes that there is none"
    assert bare.acknowledge() == "3 is done"
