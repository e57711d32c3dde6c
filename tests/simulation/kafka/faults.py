"""What may happen to Kafka and to the network in front of it."""

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import errors

from creditstream.kafka.topics import ORDER_STATUS, ORDERS, ORDERS_RETRY, SEEN_CHANGELOG
from tests.simulation.kafka.log import built
from tests.simulation.network import Weather
from tests.simulation.operators import OperatorsWork
from tests.simulation.plan import Event

if TYPE_CHECKING:
    from tests.simulation.world import World


#: Bytes.
_SMALL = 3_000
#: For a second after a log was cut: whether the client that waited at its end could hear of it.
_LOOKS, _BETWEEN_LOOKS = 50, 0.02


class KafkaFaults(OperatorsWork):
    """Each method plays one kind of event to its end."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._producers = 500
        #: Events that are not over.
        self.active = 0

    async def kafka_away(self, event: Event) -> None:
        broker = self._world.broker
        broker.is_up = False
        self._world.network.cut_all()
        await asyncio.sleep(event.lasts)
        broker.is_up = True
        for group in broker.groups.values():
            group.forget_members()

    async def kafka_forgets_topics(self, event: Event) -> None:
        """As a broker that has just come back: the topics' leaders are told to it later."""
        self._world.broker.knows_topics = False
        await self.kafka_away(event)
        await asyncio.sleep(event.lasts)
        self._world.broker.knows_topics = True

    async def kafka_frozen(self, event: Event) -> None:
        self._world.broker.freeze()
        await asyncio.sleep(event.lasts)
        self._world.broker.thaw()

    async def kafka_takes_no_records(self, event: Event) -> None:
        """A producer gives a batch up after ten seconds: often it lasts longer than that."""
        await self._refuse(errors.NotEnoughReplicasError, event.lasts * 2)

    async def kafka_forbids_records(self, event: Event) -> None:
        """A producer gives a batch up at once."""
        await self._refuse(errors.TopicAuthorizationFailedError, event.lasts)

    async def kafka_takes_no_marks(self, event: Event) -> None:
        await self._refuse(errors.NotEnoughReplicasError, event.lasts * 2, self._world.topic(SEEN_CHANGELOG))

    async def kafka_takes_no_retries(self, event: Event) -> None:
        await self._refuse(errors.NotEnoughReplicasError, event.lasts * 2, self._world.topic(ORDERS_RETRY))

    async def kafka_forbids_reading(self, event: Event) -> None:
        self._world.broker.may_read = False
        await asyncio.sleep(event.lasts)
        self._world.broker.may_read = True

    async def kafka_takes_only_small(self, event: Event) -> None:
        """As a topic whose `max.message.bytes` is set too low: single records of ours are taken."""
        self._world.broker.most_bytes = _SMALL
        await asyncio.sleep(event.lasts)
        self._world.broker.most_bytes = 0

    async def _refuse(self, error: Any, lasts: float, *topics: str) -> None:
        """`topics`: all, if none are given."""
        broker = self._world.broker
        broker.refusals |= dict.fromkeys(topics or broker.topics, error.errno)
        await asyncio.sleep(lasts)
        for topic in topics or broker.topics:
            broker.refusals.pop(topic, None)

    async def kafka_gives_no_retries(self, event: Event) -> None:
        topic = self._world.topic("orders-retry")
        self._world.broker.unread.add(topic)
        await asyncio.sleep(event.lasts)
        self._world.broker.unread.discard(topic)

    async def kafka_tells_no_ends(self, event: Event) -> None:
        """Of one topic, or of all: longer than Faust waits for a step of a rebalance."""
        names = [self._world.topic(name) for name in (ORDERS, SEEN_CHANGELOG, ORDER_STATUS, ORDERS_RETRY)]
        untold = {names[event.worker]} if event.worker < len(names) else set(names)
        self._world.broker.untold |= untold
        await asyncio.sleep(event.lasts * 5)
        self._world.broker.untold -= untold

    async def kafka_loses_answers(self, event: Event) -> None:
        await self._weather(event, lost_answers=event.share / 5)

    async def kafka_loses_requests(self, event: Event) -> None:
        await self._weather(event, lost_requests=event.share / 5)

    async def slow_network(self, event: Event) -> None:
        await self._weather(event, late=event.share, latest=0.8)

    async def _weather(self, event: Event, **change: float) -> None:
        network = self._world.network
        network.weather = network.weather._replace(**change)
        await asyncio.sleep(event.lasts)
        network.weather = network.weather._replace(**{name: getattr(Weather(), name) for name in change})

    async def log_start_moves(self, _event: Event) -> None:
        """As retention does, of what everybody has done with."""
        committed = self._world.broker.groups[self._world.group].committed
        for (topic, partition), offset in committed.items():
            log = self._world.broker.log(topic, partition)
            if log is not None:
                log.delete_before(min(offset, self._world.checks.seen_through(topic, partition)))

    async def log_is_cut(self, event: Event) -> None:
        """As an unclean election does. What nobody had read by then was never sent.

        Only while a client waits at the log's end. One that comes back when the log is as long again cannot notice: a
        limit of aiokafka's, and docs/explanation/guarantees.md says so.
        """
        topic, partition = self._world.topic("orders"), event.worker % self._world.partitions
        if not self._world.broker.is_waited_at(topic, partition) or self._world.network.weather != Weather():
            return
        log = self._world.broker.topics[topic][partition]
        old_end = log.end
        kept = max(log.start, log.end - max(1, round(event.share * 30)))
        log.truncate(kept)
        self._world.checks.on_cut(partition, log.end, old_end)
        self._world.broker.wake(topic, partition)
        for _ in range(_LOOKS):
            if self._hides_news():
                self._world.checks.on_unnoticed_cut(partition)
            await asyncio.sleep(_BETWEEN_LOOKS)

    def _hides_news(self) -> bool:
        """Whether a client that waits may hear of something only when it is too late."""
        frozen = any(worker.life and worker.life.is_frozen for worker in self._world.workers)
        return frozen or not self._world.broker.is_up or self._world.network.weather != Weather()

    async def open_transaction(self, event: Event) -> None:
        producer = self._transactional_record(event)
        await asyncio.sleep(event.lasts)
        self._end_transaction(event, producer, commit=True)

    async def aborted_transaction(self, event: Event) -> None:
        producer = self._transactional_record(event)
        await asyncio.sleep(min(1.0, event.lasts))
        self._end_transaction(event, producer, commit=False)

    def _transactional_record(self, event: Event) -> int:
        """A line that is no order: if it counts, it has a dead letter."""
        self._producers += 1
        partition = event.worker % self._world.partitions
        raw = built([(None, b"of a transaction", ())], self._world.now_ms(), producer_id=self._producers)
        self._world.broker.append(self._world.topic("orders"), partition, raw)
        return self._producers

    def _end_transaction(self, event: Event, producer: int, *, commit: bool) -> None:
        partition = event.worker % self._world.partitions
        topic = self._world.topic("orders")
        self._world.broker.topics[topic][partition].end_transaction(producer, commit=commit)
        self._world.broker.wake(topic, partition)
