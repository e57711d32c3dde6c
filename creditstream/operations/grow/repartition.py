"""Writes a topic's records again, each on its key's home partition, and removes what stood before."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from heapq import nlargest
from uuid import UUID

from creditstream.config.settings import Settings
from creditstream.kafka.admin import Cluster
from creditstream.kafka.topic_reader import Topics
from creditstream.order.home_partition import home_partition
from creditstream.order.ports import Outgoing, Publishes
from creditstream.store.pages import read_rows
from schemas.status import FORGOTTEN, Row, encode_status

Advance = Callable[[int], None]
_KEY_BYTES = 16
#: Statuses that are written once more, so that they are the last ones of their partitions.
_NEWEST = 100


class Repartition:
    """For `partitions` partitions. Every copy is delivered before anything is removed: broken off, it is run again."""

    def __init__(self, settings: Settings, cluster: Cluster, publisher: Publishes, partitions: int) -> None:
        self._settings, self._cluster, self._publisher = settings, cluster, publisher
        self._partitions = partitions

    async def marks(self, name: str, policy: str, advance: Advance) -> int:
        """The changelog of `seen`, in the order of its partitions. Returns how many records were copied.

        Copied twice, a mark is the same, except one that was overwritten: that an order is forgotten must stay last.
        """
        copied = 0
        forgotten: set[bytes] = set()
        topics = await Topics.open(self._settings, [name])
        try:
            async for records in topics.read(name):
                marks = [(each.key, each.value) for each in records if each.value and len(each.key) == _KEY_BYTES]
                await self._publish(name, ((UUID(bytes=key), key, value) for key, value in marks))
                forgotten.update(key for key, value in marks if value == FORGOTTEN)
                copied += len(marks)
                advance(len(records))
            await self._publish(name, ((UUID(bytes=key), key, FORGOTTEN) for key in forgotten))
        finally:
            await topics.close()
        await self._cluster.delete_before(topics.ends(name), policy)
        return copied

    async def statuses(self, name: str, policy: str, advance: Advance, require: Callable[[], Awaitable[None]]) -> int:
        """`order-status`, from the committed rows: nothing else is the truth, and nobody writes them now.

        Those that were written last stand last as well: a worker that starts looks for them (docs/adr/0027).
        `require`: raises when PostgreSQL lacks what was published before.
        """
        copied = 0
        newest: list[Row] = []
        topics = await Topics.open(self._settings, [name])
        await topics.close()
        async for rows in read_rows(self._settings):
            await self._publish_rows(name, rows)
            copied += len(rows)
            newest = nlargest(_NEWEST, [*newest, *rows], key=lambda row: row.updated_at)
            advance(len(rows))
        await self._publish_rows(name, newest)
        await require()  # else the rows were older than what is removed now
        await self._cluster.delete_before(topics.ends(name), policy)
        return copied

    async def _publish_rows(self, topic: str, rows: Iterable[Row]) -> None:
        await self._publish(topic, ((row.order_id, str(row.order_id).encode(), encode_status(row)) for row in rows))

    async def _publish(self, topic: str, records: Iterable[tuple[UUID, bytes, bytes]]) -> None:
        by_partition: dict[int, list[Outgoing]] = defaultdict(list)
        for order_id, key, value in records:
            by_partition[home_partition(order_id, self._partitions)].append(Outgoing(key, value))
        if by_partition:
            await self._publisher.publish(topic, by_partition)
