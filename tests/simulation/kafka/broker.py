"""What a Kafka cluster of one broker answers. Requests and answers are aiokafka's own structures, never encoded."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka import errors

from tests.simulation.kafka.admin import ADMIN
from tests.simulation.kafka.coordination import COORDINATION, Reply
from tests.simulation.kafka.group import Group
from tests.simulation.kafka.log import Log
from tests.simulation.kafka.transactions import TRANSACTIONS, Transaction

HOST, PORT, NODE, CLUSTER = "kafka", 9092, 0, "simulated"
_NO_LEADER = errors.LeaderNotAvailableError.errno
_NO_TOPIC = errors.UnknownTopicOrPartitionError.errno
_NO_LEADER = errors.LeaderNotAvailableError.errno
_OUT_OF_RANGE = errors.OffsetOutOfRangeError.errno
_FIRST, _LAST = -2, -1
Place = tuple[str, int]
_AT_ONCE = ADMIN | TRANSACTIONS


@dataclass(eq=False)
class _Waiting:
    """A fetch that found nothing: answered when something comes, or when its time is up."""

    request: Any
    reply: Reply
    timer: asyncio.TimerHandle | None = None


class Broker:
    """Topics, groups, and the answer to each request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_up = True
        #: By topic, the code by which producers are refused while everything else goes on.
        self.refusals: dict[str, int] = {}
        #: Bytes of a batch that is taken; 0: any number.
        self.most_bytes = 0
        self.may_read = True
        #: Topics of which fetches get nothing, as a quota does it.
        self.unread: set[str] = set()
        #: Topics of which nobody is told where they begin and end, as without a leader.
        self.untold: set[str] = set()
        #: False: it has come back a moment ago, and knows no topic's leader yet.
        self.knows_topics = True
        self.topics: dict[str, dict[int, Log]] = {}
        self.configs: dict[str, dict[str, str]] = {}
        self.groups: dict[str, Group] = defaultdict(lambda: Group(self.loop))
        self._fetches: dict[Place, list[_Waiting]] = defaultdict(list)
        self._frozen: list[tuple[Any, Reply]] | None = None
        self._freezes = 0
        self._producers = 1_000
        self.transactions: dict[str, Transaction] = {}
        #: Told of every batch that is taken: place, first offset.
        self.on_append: Callable[[Place, int], None] = lambda _place, _base: None
        self.on_commit: Callable[[str, dict[Place, int]], None] = lambda _group, _offsets: None

    # -- what happens to it

    def freeze(self) -> None:
        """It answers nothing, and forgets nothing."""
        self._freezes += 1
        if self._frozen is None:
            self._frozen = []

    def thaw(self) -> None:
        self._freezes -= 1
        if self._freezes:
            return
        held, self._frozen = self._frozen or [], None
        for request, reply in held:
            self.handle(request, reply)

    def create(self, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
        logs = self.topics.setdefault(topic, {})
        self.configs.setdefault(topic, dict(config or {}))
        for number in range(len(logs), partitions):
            logs[number] = Log()

    def log(self, topic: str, partition: int) -> Log | None:
        return self.topics.get(topic, {}).get(partition)

    def append(self, topic: str, partition: int, raw: bytes, *, is_strange: bool = False) -> int:
        """Returns the batch's first offset. Whoever waits for it is answered."""
        base = self.topics[topic][partition].append(raw, is_strange=is_strange)
        self.on_append((topic, partition), base)
        self.wake(topic, partition)
        return base

    def new_producer(self) -> int:
        self._producers += 1
        return self._producers

    def is_waited_at(self, topic: str, partition: int) -> bool:
        """Whether a client's fetch waits for the partition's next record, and is answered when it comes."""
        return self._frozen is None and self.is_up and bool(self._fetches.get((topic, partition)))

    def wake(self, topic: str, partition: int) -> None:
        for waiting in self._fetches.pop((topic, partition), ()):
            self._end_wait(waiting)

    # -- requests

    def handle(self, request: Any, reply: Reply) -> None:
        if self._frozen is not None:
            self._frozen.append((request, reply))
            return
        key = request.API_KEY
        if key in COORDINATION:
            COORDINATION[key](self, request, reply)
        elif key in _AT_ONCE:
            reply(_AT_ONCE[key](self, request))
        else:
            getattr(self, f"_{key}")(request, reply)

    def _0(self, request: Any, reply: Reply) -> None:
        """Produce."""
        answers = []
        for topic, partitions in request.topics:
            done = []
            for partition, raw in partitions:
                log = self.log(topic, partition)
                if log is None or topic in self.refusals:
                    done.append((partition, _NO_TOPIC if log is None else self.refusals[topic], -1, -1))
                    continue
                if 0 < self.most_bytes < len(raw):
                    done.append((partition, errors.MessageSizeTooLargeError.errno, -1, -1))
                    continue
                known = log.repeated(raw)
                base = self.append(topic, partition, raw) if known is None else known
                done.append((partition, 0, base, -1))
            answers.append((topic, done))
        reply(request.RESPONSE_TYPE(answers, 0))

    def _1(self, request: Any, reply: Reply) -> None:
        """Fetch."""
        found, has_any = self._read(request)
        if has_any or request.max_wait_time <= 0:
            reply(request.RESPONSE_TYPE(0, found))
            return
        waiting = _Waiting(request, reply)
        for place in _places(request.topics):
            self._fetches[place].append(waiting)
        waiting.timer = self.loop.call_later(request.max_wait_time / 1000, self._end_wait, waiting)

    def _end_wait(self, waiting: _Waiting) -> None:
        if waiting.timer is None:
            return
        waiting.timer.cancel()
        waiting.timer = None
        for place in _places(waiting.request.topics):
            if waiting in self._fetches.get(place, ()):
                self._fetches[place].remove(waiting)
        if self._frozen is not None:
            self._frozen.append((waiting.request, waiting.reply))
            return
        found, _ = self._read(waiting.request)
        waiting.reply(waiting.request.RESPONSE_TYPE(0, found))

    def _read(self, request: Any) -> tuple[list[Any], bool]:
        found, has_any = [], False
        for topic, partitions in request.topics:
            parts: list[Any] = []
            for partition, offset, most in partitions:
                log = self.log(topic, partition)
                if log is None:
                    parts.append((partition, _NO_TOPIC, -1, -1, [], b""))
                elif not self.may_read:
                    parts.append((partition, errors.TopicAuthorizationFailedError.errno, -1, -1, [], b""))
                elif not log.start <= offset <= log.end:
                    parts.append((partition, _OUT_OF_RANGE, -1, -1, [], b""))
                else:
                    isolation = request.isolation_level
                    raw, aborted = (b"", []) if topic in self.unread else log.read(offset, most, isolation)
                    over = [(each.producer, each.first) for each in aborted]
                    parts.append((partition, 0, log.end, log.stable, over, raw))
                has_any = has_any or bool(parts[-1][1] or parts[-1][5])
            found.append((topic, parts))
        return found, has_any

    def _2(self, request: Any, reply: Reply) -> None:
        """ListOffsets."""
        answers = []
        for topic, partitions in request.topics:
            done = []
            for partition, when in partitions:
                log = self.log(topic, partition)
                if log is None:
                    done.append((partition, _NO_TOPIC, -1, -1))
                    continue
                end = log.stable if request.isolation_level else log.end
                error = _NO_LEADER if topic in self.untold else 0
                done.append((partition, error, -1, log.start if when == _FIRST else end))
            answers.append((topic, done))
        reply(request.RESPONSE_TYPE(0, answers))

    def _3(self, request: Any, reply: Reply) -> None:
        """Metadata."""
        names = list(self.topics) if request.topics is None else request.topics
        topics: list[Any] = []
        for name in names:
            logs = self.topics.get(name)
            if logs is None or not self.knows_topics:
                topics.append((_NO_TOPIC if logs is None else _NO_LEADER, name, False, []))
            else:
                topics.append((0, name, False, [(0, number, NODE, [NODE], [NODE]) for number in logs]))
        reply(request.RESPONSE_TYPE([(NODE, HOST, PORT, None)], CLUSTER, NODE, topics))

    def _10(self, request: Any, reply: Reply) -> None:
        """FindCoordinator."""
        reply(request.RESPONSE_TYPE(0, 0, "", NODE, HOST, PORT))


def _places(topics: Any) -> Iterator[Place]:
    for topic, partitions in topics:
        for partition, *_ in partitions:
            yield topic, partition
