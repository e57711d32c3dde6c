"""Records read again when they are due: of partitions that are ours, acknowledged in the generation of the read."""

from types import SimpleNamespace
from typing import Any, cast

from aiokafka import ConsumerRecord
from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.offsets import Progress
from creditstream.order.ports import Place
from creditstream.worker.retry_topic import KafkaRetryTopic
from tests.unit.pipeline_rig import order_json, run

_VALUE = order_json()


def kafkas(partition: int, offset: int) -> ConsumerRecord[bytes, bytes]:
    headers = ((("x-attempts", b"2")),)
    return ConsumerRecord("orders-retry", partition, offset, 1_000, 0, b"key", _VALUE, None, 3, len(_VALUE), headers)


class Scene:
    """A worker that owns partition 0, of which ten records were delivered; Kafka has lost the one at offset 4."""

    def __init__(self) -> None:
        self.consumer = InOrderConsumer.__new__(InOrderConsumer)
        self.own(0)
        self.topic, self.asked = KafkaRetryTopic(Settings(), lambda: self.consumer), list[Any]()
        self.topic._reader = cast(Any, SimpleNamespace(read=self._read))

    def own(self, partition: int) -> Progress:
        progress = Progress(0, replay_until=3)
        for offset in range(10):
            progress.admit(offset)
        self.consumer.progress = {TP("orders-retry", partition): progress}
        return progress

    async def _read(self, places: dict[int, list[int]]) -> dict[tuple[int, int], Any]:
        self.asked.append(places)
        there = [(partition, offset) for partition, offsets in places.items() for offset in offsets]
        return {place: None if place[1] == 4 else kafkas(*place) for place in there}

    @property
    def done(self) -> int:
        [progress] = self.consumer.progress.values()
        return 10 - progress.standing(10).unfinished


def test_they_are_as_they_were_delivered() -> None:
    scene = Scene()
    found = run(scene.topic.read([Place(0, 2), Place(0, 4), Place(0, 3)]))
    first, gone, last = (found[Place(0, offset)] for offset in (2, 4, 3))
    assert gone is None
    assert first and last
    assert (first.value, first.key, first.turn.attempts, first.timestamp_ms) == (_VALUE, b"key", 2, 1_000)
    assert (first.replayed, last.replayed) == (True, False), "an earlier owner may have handled the first"
    first.acknowledge()
    scene.topic.acknowledge(Place(0, 4))
    assert scene.done == 2


def test_partitions_that_are_not_ours_are_not_read() -> None:
    scene = Scene()
    assert run(scene.topic.read([Place(1, 1)])) == {}
    assert scene.asked == []
    found = run(scene.topic.read([Place(1, 1), Place(0, 1)]))
    assert (list(found), scene.asked) == ([Place(0, 1)], [{0: [1]}])
    scene.topic.acknowledge(Place(1, 1))
    assert scene.done == 0


def test_what_was_read_before_a_rebalance_acknowledges_nothing_after_it() -> None:
    scene = Scene()
    record = run(scene.topic.read([Place(0, 1)]))[Place(0, 1)]
    scene.own(0)
    assert record
    record.acknowledge()
    assert scene.done == 0, "it comes again in the new generation"
