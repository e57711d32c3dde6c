"""The one producer through which everything goes that this program publishes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from creditstream.config.settings import Settings
from creditstream.errors import BrokerUnavailable, Unsendable
from creditstream.kafka.client import MAX_REQUEST_BYTES, client_options, start
from creditstream.order.ports import Outgoing, Publishes
from creditstream.order.unforeseen import OF_A_RECORD
from schemas.headers import Headers

#: What one partition's batch may hold; a flush is rarely a tenth of it.
_BATCH_BYTES = 512 * 1024
_REQUEST_TIMEOUT_MS = 10_000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Publisher(Publishes):
    """Publishes records by the batch: one produced batch per partition and call, delivery awaited."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._publishing: set[asyncio.Task[dict[int, int]]] = set()

    @classmethod
    async def open(cls, settings: Settings, *, may_send: Callable[[], bool] | None = None) -> Self:
        """`may_send` is asked before each request, first and repeated ones; once it says no, it must go on saying so.

        With it the order of a partition's records counts: the broker drops what comes again late. Such a publisher is
        of no more use once it has failed (aiokafka's numbering has a gap then). Raises BrokerUnavailable.
        """
        producer = AIOKafkaProducer(
            **client_options(settings),
            acks="all",
            enable_idempotence=may_send is not None,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        if may_send:
            _guard(producer, may_send)
        try:
            await start(producer)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{settings.kafka_brokers}: {type(error).__name__}") from error
        return cls(producer)

    async def abandon(self) -> None:
        """Close without delivering what is still held. Whoever publishes through it has BrokerUnavailable."""
        try:
            await self._producer._sender.close()
        finally:
            self._producer._message_accumulator.fail_all(BrokerUnavailable("given up"))
            self._producer._closed = True
            await self._producer.client.close()
            for publishing in self._publishing:
                publishing.cancel()  # it waits for metadata, and a client that is closed never has any

    async def close(self) -> None:
        await self._producer.stop()

    async def ping(self) -> None:
        """Raises BrokerUnavailable when no broker answers."""
        if not await self._producer.client.force_metadata_update():
            raise BrokerUnavailable("no broker answers")

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        """See `Publishes.publish`."""
        publishing = asyncio.ensure_future(self._publish_all(topic, records))
        self._publishing.add(publishing)
        try:
            return await publishing
        except asyncio.CancelledError:
            if cast(asyncio.Task[Any], asyncio.current_task()).cancelling():
                raise
            raise BrokerUnavailable(f"{topic}: given up") from None
        finally:
            self._publishing.discard(publishing)

    async def _publish_all(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        try:
            return await self._publish(topic, records)
        except Unsendable:
            if sum(map(len, records.values())) == 1:
                raise
        # The topic's limit may be below a batch of them.
        last: dict[int, int] = {}
        for partition, outgoing in records.items():
            for record in outgoing:
                last |= await self._publish(topic, {partition: [record]})
        return last

    async def _publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        sent = []
        try:
            for partition, outgoing in records.items():
                sent += [(partition, count, future) async for count, future in self._send(topic, partition, outgoing)]
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{topic}: {type(error).__name__}") from error
        answers: list[Any] = await asyncio.gather(*(future for _, _, future in sent), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, _TOO_LARGE):
                raise Unsendable(f"{topic}: too large for the topic (max.message.bytes)") from answer
            if isinstance(answer, BaseException):
                raise BrokerUnavailable(f"{topic}: {type(answer).__name__}") from answer
        counts = [(partition, count) for partition, count, _ in sent]
        return {where: answer.offset + count - 1 for (where, count), answer in zip(counts, answers, strict=True)}

    async def _send(self, topic: str, partition: int, outgoing: Sequence[Outgoing]) -> Any:
        batch, count = self._producer.create_batch(), 0
        for key, value, headers in outgoing:
            if not _appended(batch, key, value, headers):
                yield count, await self._producer.send_batch(batch, topic, partition=partition)
                batch, count = self._producer.create_batch(), 0
                _appended(batch, key, value, headers)
            count += 1
        yield count, await self._producer.send_batch(batch, topic, partition=partition)


def _appended(batch: Any, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
    """Whether the record still had room. The first of a batch always has."""
    try:
        return batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is not None
    except OF_A_RECORD as error:
        raise Unsendable(f"cannot be written as a record: {type(error).__name__}") from error


def _guard(producer: AIOKafkaProducer, may_send: Callable[[], bool]) -> None:
    """Between the producer's queue and the socket: the last moment at which a batch can still be held back.

    What was held back must stay so: once `may_send` has said no, it goes on saying so.
    """
    sender = producer._sender
    send = sender._send_produce_req

    async def send_guarded(node_id: int, batches: dict[Any, Any]) -> None:
        if may_send():
            await send(node_id, batches)
            return
        for batch in batches.values():
            batch.failure(exception=KafkaError("not sent: ownership has ended"))
        sender._in_flight.remove(node_id)
        sender._muted_partitions.difference_update(batches)

    sender._send_produce_req = send_guarded
