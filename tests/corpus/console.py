"""Kafka's own console producer: one call, many records. It gives no receipts, so what it wrote is read back."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from tests.corpus.books import ends, read
from tests.corpus.content import Message
from tests.corpus.shots import Channel, Shot
from tests.corpus.wire import Found
from tests.support.kafka import Topics

#: No header, name or key of the corpus that is typed holds one (shots.py).
_BETWEEN_HEADERS, _AFTER_NAME, _NULL = b"\x1d", b"\x1e", rb"\N"
_PROPERTIES = (
    "parse.headers=true",
    "parse.key=true",
    f"null.marker={_NULL.decode()}",
    f"headers.separator={_BETWEEN_HEADERS.decode()}",
    f"headers.key.separator={_AFTER_NAME.decode()}",
)
#: Bytes; as much as the other producers put into a batch.
_BATCH = ("--max-partition-memory-bytes", "262144", "--timeout", "100")


def type_in(channel: Channel, shots: Sequence[Shot], topics: Topics) -> None:
    """All of them, and note where each one stands."""
    options = [*_BATCH, "--compression-codec", channel.codec, "--producer-property", "max.request.size=33554432"]
    for setting in _PROPERTIES:
        options += ["--property", setting]
    for topic in sorted({shot.case.topic for shot in shots}):
        some = [shot for shot in shots if shot.case.topic == topic]
        before = ends(topics, topic)
        topics.produce_lines(topic, [b"\t".join(_line(shot.message)) for shot in some], *options)
        _note(some, topics.name(topic), read(topics, topic, before))


def _line(message: Message) -> Iterator[bytes]:
    pairs = [name + _AFTER_NAME + (_NULL if value is None else value) for name, value in message.headers]
    yield _BETWEEN_HEADERS.join(pairs) or _NULL
    yield _NULL if message.key is None else message.key
    yield _NULL if message.value is None else message.value


def _note(shots: Sequence[Shot], topic: str, records: Sequence[Found]) -> None:
    """By content: two records of the same one are the same case."""
    places: dict[object, deque[tuple[str, int, int]]] = defaultdict(deque)
    for record in records:
        headers = tuple((name.encode(), value) for name, value in record.headers)
        places[record.key, record.value, headers].append((topic, record.partition, record.offset))
    for shot in shots:
        found = places[shot.message.key, shot.message.value, shot.message.headers]
        assert found, f"the console producer wrote something else: {shot}"
        shot.place = found.popleft()
    assert not any(places.values()), "the console producer wrote more than was typed"
