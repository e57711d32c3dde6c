"""`orders-retry` as the waiting room reads it again: the group says what is ours, a reader of its own has the bytes."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.place_reader import PlaceReader
from creditstream.kafka.topics import ORDERS_RETRY, topic_name
from creditstream.order.ports import Place
from creditstream.order.record import Record
from creditstream.worker.intake import believed_headers, unread


class KafkaRetryTopic:
    """As `creditstream.order.ports.RetryTopic`."""

    def __init__(self, settings: Settings, group: Callable[[], InOrderConsumer]) -> None:
        """`group` is asked each time: it is not there before the worker's consumer starts."""
        self._name, self._group = topic_name(settings, ORDERS_RETRY), group
        self._believed, self._reader = believed_headers(settings), PlaceReader(settings, self._name)

    async def close(self) -> None:
        """At the worker's end."""
        await self._reader.close()

    async def read(self, places: Sequence[Place]) -> Mapping[Place, Record | None]:
        consumer = self._group()
        standing = {place: consumer.progress.get(self._tp(place)) for place in places}
        wanted: dict[int, list[int]] = defaultdict(list)
        for place, progress in standing.items():
            if progress is not None:
                wanted[place.partition].append(place.offset)
        found: dict[Place, Record | None] = {}
        for at, record in (await self._reader.read(wanted)).items() if wanted else ():
            place, progress = Place(*at), standing[Place(*at)]
            if record is None or progress is None:
                found[place] = None
                continue
            done = partial(consumer.finished, self._tp(place), progress, place.offset)
            found[place] = unread(record, self._believed, done, replayed=place.offset < progress.replay_until)
        return found

    def acknowledge(self, place: Place) -> None:
        consumer, tp = self._group(), self._tp(place)
        if progress := consumer.progress.get(tp):
            consumer.finished(tp, progress, place.offset)

    def _tp(self, place: Place) -> TP:
        return TP(self._name, place.partition)
