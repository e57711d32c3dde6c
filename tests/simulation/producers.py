"""Who sends orders to a world: by the batch, compressed or not."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.simulation.kafka.log import built
from tests.simulation.load import Sent
from tests.simulation.strange import make_strange

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Kafka's numbers: none, gzip, snappy, lz4, zstd.
_CODECS = (0, 0, 0, 0, 1, 2, 3, 4)


class Producers:
    """What they send is evidence."""

    def __init__(self, world: "World", seed: int) -> None:
        self._world, self._dice = world, random.Random(seed ^ 0xC0DEC)

    def send(self, partition: int, records: Sequence[Sent]) -> None:
        """One batch, on a partition of `orders`."""
        raw = built(
            [(each.key, each.value, ()) for each in records], self._world.now_ms(), codec=self._dice.choice(_CODECS)
        )
        self._append(partition, raw, records)

    def send_strange(self, partition: int) -> None:
        """A batch that not every client can read."""
        strange = make_strange(self._dice, self._world.partitions, self._world.now_ms())
        self._append(partition, strange.raw, strange.sent, is_strange=True)

    def _append(self, partition: int, raw: bytes, records: Sequence[Sent], *, is_strange: bool = False) -> None:
        topic = self._world.topic("orders")
        base = self._world.broker.topics[topic][partition].end
        self._world.checks.sent |= {("orders", partition, base + place): each for place, each in enumerate(records)}
        self._world.broker.append(topic, partition, raw, is_strange=is_strange)
