"""PURE: who sends which case where. Each record that is sent is a shot, with an order id of its own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from itertools import groupby, product
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec

from creditstream.order.home_partition import home_partition
from tests.corpus.cases import FIRST, FIRST_ABORTED, Case, Kind
from tests.corpus.content import Message, message
from tests.corpus.wire import CODECS

CLIENTS = ("aiokafka", "librdkafka")
#: What the console producer reads as the end of a line, or as one of its signs (producers.py).
_NOT_A_VALUE = re.compile(rb"[\r\n]")
_NOT_BEFORE_IT = re.compile(rb"[\r\n\t\x1d\x1e]")
_NULL = rb"\N"
_NIL, _MAX = UUID(int=0), UUID(int=2**128 - 1)


class Channel(NamedTuple):
    """A producer as it is set up. `mode`: each record in a batch of its own, many in one, or in a transaction."""

    producer: str
    codec: str
    mode: str

    @property
    def name(self) -> str:
        return "/".join(self)


CHANNELS = (
    *(Channel(*each) for each in product(CLIENTS, CODECS, ("single", "batch", "transaction"))),
    *(Channel("console", codec, "batch") for codec in CODECS),
    # Record batches made by hand: header names of any bytes, as clients in C and Go send them.
    *(Channel("wire", codec, "batch") for codec in ("none", "zstd")),
)


@dataclass(slots=True, eq=False)
class Shot:
    """One record. `partition` None: the producer chooses. `place`: its topic, partition and offset once it is there."""

    case: Case
    channel: Channel
    kind: Kind
    where: str
    partition: int | None
    order_id: UUID
    message: Message
    place: tuple[str, int, int] | None = None

    def __str__(self) -> str:
        topic, partition, offset = self.place or (self.case.topic, self.partition, "-")
        sent = f"{self.channel.name}, {self.kind}, {self.where}"
        return f"{self.case.part}: {self.case.name} ({sent}, {topic}[{partition}]@{offset})"


def shots(cases: Sequence[Case], kind: Kind, partitions: int, now: datetime) -> list[Shot]:
    """All that is sent to a topic of that kind, by channel; transactions last, so that their markers end partitions."""
    found: list[Shot] = []
    for index, case in enumerate(cases):
        if kind in case.topics:
            for number, channel in enumerate(channels(case, index, kind, now)):
                for where in _wheres(case, index + number, channel, partitions):
                    found += _fire(case, channel, kind, where, (partitions, now))
    return sorted(found, key=lambda shot: (shot.channel.mode == "transaction", CHANNELS.index(shot.channel)))


def by_channel(found: Sequence[Shot]) -> Iterator[tuple[Channel, list[Shot]]]:
    for channel, some in groupby(found, key=lambda shot: shot.channel):
        yield channel, list(some)


def channels(case: Case, index: int, kind: Kind, now: datetime) -> list[Channel]:
    """On `kafka4` every producer with every codec in batches; else, and alone, the codecs take turns."""
    sample = message(case, _order_id(case), now)
    able = [channel for channel in CHANNELS if _is_asked(case, channel) and _can_send(case, channel, kind, sample)]
    found: list[Channel] = []
    for _, group in groupby(sorted(able, key=_way), key=_way):
        codecs = list(group)
        every = kind == "kafka4" and codecs[0].mode == "batch"
        found += codecs if every else [codecs[index % len(codecs)]]
    return found


def _way(channel: Channel) -> tuple[str, str]:
    return channel.producer, channel.mode


def _is_asked(case: Case, channel: Channel) -> bool:
    return any(fnmatch(channel.name, pattern) for pattern in case.by)


def _can_send(case: Case, channel: Channel, kind: Kind, sample: Message) -> bool:
    if (case.transaction != "" or case.repeats == "aborted") != (channel.mode == "transaction"):
        return False
    if channel.producer == "librdkafka":
        # 0 means now to it; its binding reads names as C strings.
        return sample.timestamp != 0 and all(_is_text(name) and b"\0" not in name for name, _ in sample.headers)
    if channel.producer == "aiokafka":
        return all(_is_text(name) for name, _ in sample.headers)
    return channel.producer == "wire" or _can_be_typed(case, channel, kind, sample)


def _can_be_typed(case: Case, channel: Channel, kind: Kind, sample: Message) -> bool:
    """By the console producer: lines of text, partitions by the key; a Java machine for each codec takes its time."""
    if kind != "kafka4" and channel.codec != {"older": "zstd", "recompressed-zstd": "gzip"}.get(kind):
        return False
    if sample.timestamp is not None or (case.repeats and case.key != "<id>"):
        return False
    before = [part for part in (sample.key, *(part for header in sample.headers for part in header)) if part]
    texts = [*before, *([sample.value] if sample.value else [])]
    return (
        all(_is_text(text) and text != _NULL for text in texts)
        and not any(_NOT_BEFORE_IT.search(text) for text in before)
        and not (sample.value and _NOT_A_VALUE.search(sample.value))
    )


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wheres(case: Case, turn: int, channel: Channel, partitions: int) -> list[str]:
    if channel.producer == "console":
        return ["any"]
    if case.places == ("each",):
        return [str(number) for number in range(partitions)]
    if case.places == ("any",):
        return [("home", "away")[turn % 2]]
    return list(case.places)


def _fire(case: Case, channel: Channel, kind: Kind, where: str, around: tuple[int, datetime]) -> Iterator[Shot]:
    partitions, now = around
    order_id = _order_id(case)
    home = home_partition(order_id, partitions)
    partition = {"home": home, "away": (home + 1) % partitions, "any": None}.get(where, -1)
    partition = int(where) if partition == -1 else partition
    for each in (*_before(case), case):
        yield Shot(each, channel, kind, where, partition, order_id, message(each, order_id, now))


def _before(case: Case) -> tuple[Case, ...]:
    first = {"": None, "usual": FIRST, "aborted": FIRST_ABORTED}[case.repeats]
    return (msgspec.structs.replace(first, key=case.key),) if first else ()


def _order_id(case: Case) -> UUID:
    fresh = uuid4()
    match case.id:
        case "v1" | "v7":
            return UUID(hex=fresh.hex[:12] + case.id[1] + fresh.hex[13:])
        case "nil" | "max":
            return _NIL if case.id == "nil" else _MAX
    return fresh
